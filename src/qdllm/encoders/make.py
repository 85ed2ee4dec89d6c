"""From a name to an encoder, and from a folder back to one."""

import re
from pathlib import Path

from qdllm.encoders.base import Encoder, read_saved
from qdllm.encoders.joined import JoinedEncoder
from qdllm.encoders.ngrams import NgramEncoder
from qdllm.encoders.tfidf import TfidfEncoder
from qdllm.encoders.transformer import TransformerEncoder
from qdllm.errors import ConfigError, SavedModelError

__all__ = ["load_encoder", "make_encoder"]

_PLUS = re.compile(r"\+(?!last(?:\+|$))")  # the plus of "mean+last" joins poolings, not encoders
_LAYER = re.compile(r"(?P<source>.+)@(?P<layer>\d+)(?::(?P<pooling>[a-z+]+))?")


def make_encoder(spec: str, *, seed: int = 0, cache_dir: str | Path | None = None) -> Encoder:
    """Make the encoder of a name.

    Parameters
    ----------
    spec : str
        - ``minilm``: the pinned asset, all-MiniLM-L6-v2.
        - ``tfidf``: no model; has to be fitted on the training texts.
        - ``ngrams``: no model; trained together with a student.
        - any path or hub name of a Hugging Face encoder or sentence-transformers folder.
        - ``NAME@LAYER`` or ``NAME@LAYER:POOLING``: one layer of a causal language model, as ``smollm2@15``.
        - several of these, but for ``ngrams``, joined by ``+``.
    seed : int
        Of encoders that are fitted.
    cache_dir : path, optional
        Where features that a model made are kept; `qdllm.data.cache_dir` unless given.

    Raises
    ------
    ConfigError
        If the name is not understood or there is no such model.
    RequestError
        If an asset was not fetched yet; the message says how.

    Examples
    --------
    >>> make_encoder("tfidf").name
    'tfidf'
    """
    parts = [spec] if Path(spec).exists() else _PLUS.split(spec)
    encoders = [_make_one(part.strip(), seed, cache_dir) for part in parts]
    if len(encoders) == 1:
        return encoders[0]
    if any(isinstance(encoder, NgramEncoder) for encoder in encoders):
        raise ConfigError(f"encoder {spec!r}: ngrams is trained with its student and stands alone")
    return JoinedEncoder(encoders)


def load_encoder(folder: str | Path, *, cache_dir: str | Path | None = None) -> Encoder:
    """Load what `Encoder.save` wrote.

    Raises
    ------
    SavedModelError
        If a file is missing, truncated or altered, or a pretrained model is not the one it was.
    RequestError
        If a pretrained model is not on this machine.
    """
    path = Path(folder)
    saved = read_saved(path)
    if saved.type == "tfidf":
        return TfidfEncoder._load(path, saved)
    if saved.type == "ngrams":
        return NgramEncoder._load(path, saved)
    if saved.type == "transformer":
        return TransformerEncoder._load(path, saved, cache_dir)
    try:
        joined = JoinedEncoder(
            [load_encoder(path / part, cache_dir=cache_dir) for part in saved.options["parts"]]
        )
    except (KeyError, TypeError) as error:
        raise SavedModelError(f"{path}: the encoder's parts are not named; save it again") from error
    return joined


def _make_one(spec: str, seed: int, cache_dir: str | Path | None) -> Encoder:
    if not spec:
        raise ConfigError(
            "encoder: a name is empty; give minilm, tfidf, ngrams, a Hugging Face path or name, or NAME@LAYER"
        )
    if spec == "ngrams":
        return NgramEncoder()
    if spec == "tfidf":
        return TfidfEncoder(seed=seed)
    layer = None if Path(spec).exists() else _LAYER.fullmatch(spec)
    if layer is None:
        return TransformerEncoder(spec, cache_dir=cache_dir)
    return TransformerEncoder(
        layer["source"], layer=int(layer["layer"]), pooling=layer["pooling"], cache_dir=cache_dir
    )
