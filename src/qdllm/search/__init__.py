"""Circuits designed automatically: designs drawn, trained, and set against what they cost."""

from qdllm.search.front import Candidate, choose, pareto_front, standard_error
from qdllm.search.space import PAPER, SPACE, Choice, Design, Range, describe_space
from qdllm.search.study import Found, check_search, search
from qdllm.search.training import costs_of, fit_design, hits, known_classes

__all__ = [
    "PAPER",
    "SPACE",
    "Candidate",
    "Choice",
    "Design",
    "Found",
    "Range",
    "check_search",
    "choose",
    "costs_of",
    "describe_space",
    "fit_design",
    "hits",
    "known_classes",
    "pareto_front",
    "search",
    "standard_error",
]
