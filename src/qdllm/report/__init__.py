"""The decision report: one HTML file that a manager can sign or refuse, made from a run's figures alone."""

from qdllm.report.costs import PRICES, Prices
from qdllm.report.devices import read_devices
from qdllm.report.evidence import Evidence, Predictions
from qdllm.report.figures import make_figures
from qdllm.report.page import TEXTS, render
from qdllm.report.surrogate import read_surrogate

__all__ = [
    "PRICES",
    "TEXTS",
    "Evidence",
    "Predictions",
    "Prices",
    "make_figures",
    "read_devices",
    "read_surrogate",
    "render",
]
