"""Losses and the training loop: how a student learns from a teacher."""

from qdllm.distill.losses import DistillationLoss, label_and_teacher, teacher_logits
from qdllm.distill.noise import OutputNoise
from qdllm.distill.training import Batch, TrainingHistory, TrainingOptions, train

__all__ = [
    "Batch",
    "DistillationLoss",
    "OutputNoise",
    "TrainingHistory",
    "TrainingOptions",
    "label_and_teacher",
    "teacher_logits",
    "train",
]
