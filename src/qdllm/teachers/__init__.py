"""A text's class probabilities, by a large language model or whoever else knows better than a student."""

from qdllm.teachers.auto import AutoTeacher
from qdllm.teachers.base import Teacher, Validation, label_dataset
from qdllm.teachers.classifier import ClassifierTeacher
from qdllm.teachers.endpoints import EndpointSettings, EndpointTeacher
from qdllm.teachers.ensemble import EnsembleTeacher
from qdllm.teachers.file import FileTeacher
from qdllm.teachers.lesson import Lesson
from qdllm.teachers.make import asks_endpoint, make_teacher
from qdllm.teachers.probe import ProbeTeacher
from qdllm.teachers.prompt import PromptTeacher
from qdllm.teachers.prompted import TEMPLATE
from qdllm.teachers.softlabels import SoftLabels
from qdllm.teachers.tuning import TuningSettings, fine_tune

__all__ = [
    "TEMPLATE",
    "AutoTeacher",
    "ClassifierTeacher",
    "EndpointSettings",
    "EndpointTeacher",
    "EnsembleTeacher",
    "FileTeacher",
    "Lesson",
    "ProbeTeacher",
    "PromptTeacher",
    "SoftLabels",
    "Teacher",
    "TuningSettings",
    "Validation",
    "asks_endpoint",
    "fine_tune",
    "label_dataset",
    "make_teacher",
]
