"""One way from a name to a teacher."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from qdllm.errors import ConfigError
from qdllm.models import model_kind
from qdllm.teachers.auto import AutoTeacher
from qdllm.teachers.base import Teacher
from qdllm.teachers.classifier import ClassifierTeacher
from qdllm.teachers.endpoints import EndpointSettings, EndpointTeacher
from qdllm.teachers.ensemble import EnsembleTeacher
from qdllm.teachers.file import FileTeacher
from qdllm.teachers.probe import ProbeTeacher
from qdllm.teachers.prompt import PromptTeacher
from qdllm.teachers.prompted import TEMPLATE

__all__ = ["Mode", "asks_endpoint", "make_teacher"]

Mode = Literal["auto", "probe", "few-shot", "zero-shot", "classifier", "file"]


def make_teacher(
    spec: str | Path,
    *,
    mode: str = "auto",
    seed: int = 0,
    label_words: Mapping[str, str] | None = None,
    template: str = TEMPLATE,
    shots: int = 4,
    layer: int | None = None,
    max_tokens: int = 256,
    endpoint: EndpointSettings | None = None,
    cache_dir: str | Path | None = None,
    quiet: bool = False,
) -> Teacher:
    """Make a teacher that has not been fitted yet.

    Parameters
    ----------
    spec : str or Path
        A pinned asset ("smollm2"), the path or hub name of a Hugging Face model, the URL of an
        OpenAI-compatible server (``http://localhost:8000/v1``), or a Parquet file of probabilities. Several,
        joined by ``+``, are an ensemble; each may name its mode behind an ``@``: "smollm2@probe".
    mode : {"auto", "probe", "few-shot", "zero-shot", "classifier", "file"}
        "auto" reads a Parquet file, takes a sequence classifier as it is, probes an encoder, and of a causal
        language model takes the better of few-shot and probe on validation rows. An endpoint is asked
        few-shot, or zero-shot if that is the mode.
    seed : int
        Of every random choice.
    label_words : mapping of str to str, optional
        The words that stand for a class: in a prompt, or as a classifier's own label.
    template : str
        How a prompt writes a text and its label; see `PromptTeacher`.
    shots : int
        Examples of each class in a few-shot prompt, at least 1.
    layer : int, optional
        The one that a probe reads, from 1; by default the best on validation rows. For mode "probe" alone.
    max_tokens : int
        A text is cut after so many tokens.
    endpoint : EndpointSettings, optional
        Model, limits, budget and prices of a server.
    cache_dir : path, optional
        Folder of expensive results, by default in the user's cache.
    quiet : bool
        Show no progress.

    Raises
    ------
    ConfigError
        If there is no such mode or model, or a layer is named for another mode than the probe.
    """
    own: dict[str, Any] = {"seed": seed, "cache": cache_dir, "quiet": quiet}
    prompt: dict[str, Any] = {"label_words": label_words, "template": template, "shots": shots}
    mode = "auto" if mode == "ensemble" else mode  # what the labels of several say of themselves
    members = [
        _make_one(name, named or mode, layer, endpoint, {**prompt, "max_tokens": max_tokens}, own)
        for name, named in _parts(spec)
    ]
    return members[0] if len(members) == 1 else EnsembleTeacher(members, **own)


def _make_one(
    spec: str | Path,
    mode: str,
    layer: int | None,
    endpoint: EndpointSettings | None,
    prompt: dict[str, Any],
    own: dict[str, Any],
) -> Teacher:
    if mode not in get_args(Mode):
        raise ConfigError(f"mode {mode!r}: not one of {', '.join(get_args(Mode))}")
    if layer is not None and mode != "probe":
        raise ConfigError(f"layer {layer} is for mode probe; the mode is {mode}")
    shots = 0 if mode == "zero-shot" else prompt["shots"]
    if mode in ("auto", "few-shot") and shots < 1:
        raise ConfigError(f"shots {shots}: a few-shot prompt needs at least 1")
    if _is_url(spec):
        if mode not in ("auto", "few-shot", "zero-shot"):
            raise ConfigError(f"mode {mode}: an endpoint is asked few-shot or zero-shot")
        return EndpointTeacher(str(spec), endpoint=endpoint, **{**prompt, "shots": shots}, **own)
    mode = _automatic(spec) if mode == "auto" else mode
    if mode == "file":
        return FileTeacher(spec, **own)
    if mode == "probe":
        layers = None if layer is None else [layer]
        return ProbeTeacher(spec, layers=layers, max_tokens=prompt["max_tokens"], **own)
    if mode == "classifier":
        some = {name: prompt[name] for name in ("label_words", "max_tokens")}
        return ClassifierTeacher(spec, **some, **own)
    kind = AutoTeacher if mode == "auto" else PromptTeacher
    return kind(spec, **{**prompt, "shots": shots}, **own)


def asks_endpoint(spec: str | Path) -> bool:
    """Whether a teacher of this name, or a member of it, is behind an endpoint, which may cost money."""
    return any(_is_url(name) for name, _ in _parts(spec))


def _is_url(spec: str | Path) -> bool:
    return str(spec).startswith(("http://", "https://"))


def _parts(spec: str | Path) -> list[tuple[str, str | None]]:
    """Divide the name of an ensemble into its members and their modes; a file's name is left whole."""
    if Path(spec).exists():
        return [(str(spec), None)]
    found: list[tuple[str, str | None]] = []
    for part in str(spec).split("+"):
        name, _, mode = part.strip().rpartition("@")
        found.append((name, mode) if name and mode in get_args(Mode) else (part.strip(), None))
    return found


def _automatic(spec: str | Path) -> str:
    """Tell from the file or the model's config how to ask it; "auto" where that is to be tried."""
    if str(spec).endswith(".parquet"):
        return "file"
    return {"classifier": "classifier", "encoder": "probe", "causal-lm": "auto"}[model_kind(spec)]
