"""The student: the torch module, the scikit-learn estimators, saving and loading."""

from qdllm.student.estimator import Student
from qdllm.student.joint import fit_jointly
from qdllm.student.model import ProjectedModel, StudentModel
from qdllm.student.saving import Provenance
from qdllm.student.text import TextStudent

__all__ = ["ProjectedModel", "Provenance", "Student", "StudentModel", "TextStudent", "fit_jointly"]
