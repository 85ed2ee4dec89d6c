"""A language model behind an OpenAI-compatible server, asked within a budget, nothing paid twice."""

from qdllm.teachers.endpoints.settings import EndpointSettings
from qdllm.teachers.endpoints.teacher import EndpointTeacher

__all__ = ["EndpointSettings", "EndpointTeacher"]
