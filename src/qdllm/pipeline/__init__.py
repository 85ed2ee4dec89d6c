"""The commands that span the folders: label, embed, distill, predict, evaluate, compare, search and more."""

from qdllm.pipeline.compare import compare_run
from qdllm.pipeline.config import RunConfig
from qdllm.pipeline.demo import REPORT, demo, demo_config
from qdllm.pipeline.distill import distill
from qdllm.pipeline.inspect import describe_circuit, inspect_circuit, save_drawing
from qdllm.pipeline.predict import evaluate, export_qasm, predict, write_predictions
from qdllm.pipeline.report import report_run
from qdllm.pipeline.run_folder import RunFolder, student_folder
from qdllm.pipeline.search import search
from qdllm.pipeline.serve import serve_run
from qdllm.pipeline.sources import embed_texts, label_texts, load_texts

__all__ = [
    "REPORT",
    "RunConfig",
    "RunFolder",
    "compare_run",
    "demo",
    "demo_config",
    "describe_circuit",
    "distill",
    "embed_texts",
    "evaluate",
    "export_qasm",
    "inspect_circuit",
    "label_texts",
    "load_texts",
    "predict",
    "report_run",
    "save_drawing",
    "search",
    "serve_run",
    "student_folder",
    "write_predictions",
]
