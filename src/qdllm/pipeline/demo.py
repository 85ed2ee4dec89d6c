"""`qdllm demo`: the whole way on real data, from a language model to a student and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qdllm.data import fetch
from qdllm.pipeline.config import DataConfig, EncoderConfig, RunConfig, StudentConfig, TeacherConfig
from qdllm.pipeline.distill import distill
from qdllm.pipeline.report import report_run
from qdllm.pipeline.sources import DEMO

__all__ = ["REPORT", "demo", "demo_config"]

REPORT = "report.html"
"""The name of the report in the run folder."""

# What the model is asked decides whether it can answer: "Review: … Sentiment: positive" is words it has read.
_PROMPTS: dict[str, dict[str, Any]] = {
    "reviews": {
        "template": "Review: {text}\nSentiment: {label}",
        "label_words": {"fresh": "positive", "rotten": "negative"},
    }
}


def demo_config(task: str, seed: int = 0) -> RunConfig:
    """Return the configuration of a demonstration task: SmolLM2 teaches, MiniLM encodes."""
    return RunConfig(
        seed=seed,
        data=DataConfig(path=f"{DEMO}{task}"),
        teacher=TeacherConfig(source="smollm2", mode="auto", **_PROMPTS.get(task, {})),
        encoder=EncoderConfig(source="minilm"),
        student=StudentConfig(encoding="auto"),
    )


def demo(task: str, out: str | Path, *, seed: int = 0, quiet: bool = False) -> dict[str, Any]:
    """Fetch what is needed, distil, and write the report of the run into it.

    Parameters
    ----------
    task : {"reviews", "news", "spam"}
    out : path
        The run folder.
    seed : int
    quiet : bool
        Show no progress bars.

    Returns
    -------
    dict
        What metrics.json holds.
    """
    for asset in ("smollm2", "minilm", task):
        fetch(asset, quiet=quiet)
    metrics = distill(demo_config(task, seed), out, quiet=quiet)
    report_run(out, Path(out) / REPORT, quiet=quiet)
    return metrics
