"""Surrogates for other tools: NumPy, C, ONNX, and an n-gram student as one Python file."""

from qdllm.surrogate.exports.c_header import to_c
from qdllm.surrogate.exports.npz import write_npz
from qdllm.surrogate.exports.onnx_graph import to_onnx
from qdllm.surrogate.exports.onnx_text import text_to_onnx
from qdllm.surrogate.exports.python_file import to_python

__all__ = ["text_to_onnx", "to_c", "to_onnx", "to_python", "write_npz"]
