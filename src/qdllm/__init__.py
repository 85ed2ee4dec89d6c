"""Distil a large language model into a student of a few qubits, and know what it is worth."""

__version__ = "0.1.0"
