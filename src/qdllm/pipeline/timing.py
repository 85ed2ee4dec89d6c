"""How long a text takes the teacher, student and surrogate of a run, measured once and kept in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from qdllm.compare import one_thread
from qdllm.errors import QdllmError
from qdllm.files import read_versioned, write_json
from qdllm.machine import describe_machine
from qdllm.pipeline.config import RunConfig
from qdllm.pipeline.models import MODELS, load_model
from qdllm.pipeline.run_folder import RunFolder
from qdllm.pipeline.sources import load_texts

__all__ = ["time_run"]

_TEXTS = {"teacher": 16}  # the rest are fast: 64 texts
_ENERGY = Path("/sys/class/powercap/intel-rapl:0/energy_uj")  # of the processor, where the system tells
_SCHEMA = "qdllm.timing"


def time_run(run: RunFolder, *, quiet: bool = False) -> dict[str, Any]:
    """Return what timing.json of a run holds, measuring what is not in it yet.

    From text to probabilities, on texts of the run, in one batch, nothing cached, in time of one core. What
    cannot be timed here has a reason in the place of a time.

    Parameters
    ----------
    run : RunFolder
        Of a finished run.
    quiet : bool
        Show no progress bars.

    Returns
    -------
    dict
        ``models``: for each, ``microseconds`` and ``joules`` a text, and ``reason``.
    """
    path = run.path / "timing.json"
    known = read_versioned(path, _SCHEMA) if path.is_file() else {"models": {}}
    models = {
        name: found
        if (found := known["models"].get(name)) and found["reason"] is None
        else _time(run, name, quiet=quiet)
        for name in MODELS
    }
    if models == known["models"]:
        return known
    timed = {
        "schema": {"name": _SCHEMA, "version": 1},
        "machine": describe_machine("torch", "numpy"),
        "models": models,
    }
    write_json(path, timed)
    return timed


def _time(run: RunFolder, name: str, *, quiet: bool) -> dict[str, Any]:
    try:
        model = load_model(run.path, name, quiet=quiet)
        texts = _sample(run, _TEXTS.get(name, 64))
        model.predict_proba(texts[:1])  # loads what is loaded late
        with one_thread():
            before, started = _joules(), time.process_time()
            model.predict_proba(texts)
            seconds, after = time.process_time() - started, _joules()
    except QdllmError as error:
        return {"microseconds": None, "joules": None, "reason": str(error)}
    joules = None if before is None or after is None or after < before else (after - before) / len(texts)
    return {"microseconds": round(1e6 * seconds / len(texts), 1), "joules": joules, "reason": None}


def _sample(run: RunFolder, count: int) -> list[str]:
    config = RunConfig.from_toml(run.config, {})
    texts = load_texts(config.data, config.seed).dataset.texts
    order = np.random.default_rng(config.seed).permutation(len(texts))
    return [texts[i] for i in order[:count]]


def _joules() -> float | None:
    """Return what the processor has used since it was started; None where the system does not tell."""
    try:
        return int(_ENERGY.read_text()) / 1e6
    except (OSError, ValueError):
        return None
