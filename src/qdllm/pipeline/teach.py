"""`qdllm teach`: from labelled texts to a language model fine-tuned to their classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qdllm.errors import ConfigError
from qdllm.pipeline.config import DataConfig
from qdllm.pipeline.sources import load_texts
from qdllm.teachers import TuningSettings, fine_tune

__all__ = ["teach"]


def teach(
    data: DataConfig,
    model: str,
    out: str | Path,
    settings: TuningSettings,
    *,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fine-tune a model on the training rows of the split that a run with the same data and seed has.

    Parameters
    ----------
    data : DataConfig
    model : str
        Path or name of a causal language model or an encoder.
    out : path
        The folder of the classifier; an earlier one is replaced.
    settings : TuningSettings
    seed : int
        Of the split and of training.
    quiet : bool
        Show no progress bar.

    Returns
    -------
    dict
        What `fine_tune` returns.

    Raises
    ------
    ConfigError
        If something else than a taught model lies at `out`.
    """
    folder = Path(out)
    if folder.exists() and not (folder / "teacher.json").is_file():
        raise ConfigError(f"{folder}: holds something else than a taught model; give another --out")
    texts = load_texts(data, seed)
    about = {"data": texts.dataset.name, "labels_per_class": data.labels_per_class}
    return fine_tune(model, texts.dataset, texts.split, folder, settings, seed=seed, about=about, quiet=quiet)
