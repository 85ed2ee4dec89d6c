"""The commands that span the folders: label, embed, distill, predict, compile, compare, search and more."""

from qdllm.pipeline.chips import ChipOptions, run_on_chip
from qdllm.pipeline.compare import compare_run
from qdllm.pipeline.config import RunConfig
from qdllm.pipeline.corpus import embed_corpus, label_corpus
from qdllm.pipeline.demo import REPORT, demo, demo_config
from qdllm.pipeline.distill import distill
from qdllm.pipeline.export import export_formula
from qdllm.pipeline.export_qasm import export_qasm
from qdllm.pipeline.inspect import describe_circuit, inspect_circuit, save_drawing
from qdllm.pipeline.predict import evaluate, predict, predict_corpus
from qdllm.pipeline.report import report_run
from qdllm.pipeline.run_folder import RunFolder, student_folder
from qdllm.pipeline.search import search
from qdllm.pipeline.serve import serve_run
from qdllm.pipeline.sources import embed_texts, label_texts, load_texts
from qdllm.pipeline.structure import describe_structure, inspect_formula, save_plots
from qdllm.pipeline.surrogate import compile_run, load_text_model
from qdllm.pipeline.teach import teach

__all__ = [
    "REPORT",
    "ChipOptions",
    "RunConfig",
    "RunFolder",
    "compare_run",
    "compile_run",
    "demo",
    "demo_config",
    "describe_circuit",
    "describe_structure",
    "distill",
    "embed_corpus",
    "embed_texts",
    "evaluate",
    "export_formula",
    "export_qasm",
    "inspect_circuit",
    "inspect_formula",
    "label_corpus",
    "label_texts",
    "load_text_model",
    "load_texts",
    "predict",
    "predict_corpus",
    "report_run",
    "run_on_chip",
    "save_drawing",
    "save_plots",
    "search",
    "serve_run",
    "student_folder",
    "teach",
]
