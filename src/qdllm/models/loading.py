"""From a model's name to its weights: pinned assets, folders, GGUF files and hub names.

Everything ends in a folder on this machine that is read with ``local_files_only``, so a model that lies here
is never looked up elsewhere. Weights are read from safetensors only: nothing is unpickled.
"""

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

from qdllm.data import ASSETS, asset_path, cache_dir
from qdllm.errors import ConfigError, NetworkError, WorkError
from qdllm.extras import require
from qdllm.files import atomic_folder, read_json
from qdllm.models.contenthash import content_hash

__all__ = [
    "load_causal_lm",
    "load_classifier",
    "load_encoder",
    "load_untaught",
    "local_folder",
    "model_kind",
    "preferred_device",
    "preferred_dtype",
    "quiet",
    "resolve",
]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def resolve(name: str | Path) -> str:
    """Turn the name of a pinned asset into its folder; leave any other name or path as it is.

    Raises
    ------
    RequestError
        If the asset has not been fetched yet; the message says how.
    """
    return str(asset_path(str(name))) if str(name) in ASSETS else str(name)


def local_folder(name: str | Path) -> Path:
    """Return the Hugging Face folder of a model on this machine.

    A GGUF file is converted once and kept in the cache. A hub name is downloaded by `huggingface_hub`, which
    keeps its own cache and obeys ``HF_HUB_OFFLINE``.

    Parameters
    ----------
    name : str or Path
        A pinned asset, a Hugging Face or sentence-transformers folder, a GGUF file or the folder of one, or
        the name of a model on the hub.

    Raises
    ------
    ConfigError
        If there is no such model, or the folder holds none.
    NetworkError
        If the name is not a folder here and the hub cannot be reached.
    """
    source = resolve(name)
    path = Path(source).expanduser()
    if not path.exists():
        return _from_hub(source)
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise ConfigError(f"{path}: not a model; give a Hugging Face folder or a .gguf file")
        return _from_gguf(path)
    for folder in (path, path / "0_Transformer"):  # the second: older sentence-transformers
        if (folder / "config.json").is_file():
            return folder
    ggufs = sorted(path.rglob("*.gguf"))
    if len(ggufs) != 1:
        found = f"{len(ggufs)} .gguf files" if ggufs else "no config.json and no .gguf file"
        raise ConfigError(f"{path}: {found} in this folder; name the folder or the file of one model")
    return _from_gguf(ggufs[0])


def load_causal_lm(name: str | Path, *, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """Load a causal language model, frozen, on the preferred device.

    Parameters
    ----------
    name : str or Path
        Whatever `local_folder` takes.
    dtype : torch.dtype, optional
        `preferred_dtype` unless given; float32 for what is to be trained.

    Returns
    -------
    model, tokenizer
        Of transformers.

    Raises
    ------
    ConfigError
        If the folder is not a causal language model, or weights are missing from it.
    """
    return _load("AutoModelForCausalLM", name, dtype)


def load_encoder(name: str | Path, *, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """Load a model without any head; see `load_causal_lm`."""
    return _load("AutoModel", name, dtype)


def load_classifier(name: str | Path) -> tuple[Any, Any]:
    """Load a sequence classifier; see `load_causal_lm`."""
    return _load("AutoModelForSequenceClassification", name)


def load_untaught(
    name: str | Path, classes: Sequence[str], *, dtype: torch.dtype | None = None, in_8_bit: bool = False
) -> tuple[Any, Any]:
    """Load a model with a new head for sequence classification, to be trained; see `load_causal_lm`.

    Parameters
    ----------
    name : str or Path
        A causal language model or an encoder.
    classes : sequence of str
        The head's labels, in order. Its weights are drawn by torch's global generator.
    dtype : torch.dtype, optional
        `preferred_dtype` unless given.
    in_8_bit : bool
        Quantise the frozen weights by bitsandbytes.

    Raises
    ------
    ConfigError
        If the model cannot classify, or weights other than the head's are missing.
    """
    labels = list(classes)
    options: dict[str, Any] = {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: code for code, label in enumerate(labels)},
        "ignore_mismatched_sizes": True,
    }
    if in_8_bit:
        transformers = require("transformers", "llm", "reading a Hugging Face model")
        options["quantization_config"] = transformers.BitsAndBytesConfig(load_in_8bit=True)
        options["device_map"] = {"": preferred_device()}
    auto_class = "AutoModelForSequenceClassification"
    model, tokenizer, missing = _read(auto_class, name, dtype, **options)
    body = f"{model.base_model_prefix}."
    lacking = [key for key in missing if key.startswith(body) and ".pooler." not in key]
    _refuse_incomplete(auto_class, name, lacking)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id  # a causal classifier reads the last token before it
    return (model if in_8_bit else model.to(preferred_device())), tokenizer


def model_kind(name: str | Path) -> Literal["causal-lm", "classifier", "encoder"]:
    """Tell from a model's config what it was trained to do; all but the first two are encoders."""
    names = read_json(local_folder(name) / "config.json").get("architectures") or []
    if any(str(architecture).endswith("ForSequenceClassification") for architecture in names):
        return "classifier"
    causal = any(str(architecture).endswith(("ForCausalLM", "LMHeadModel")) for architecture in names)
    return "causal-lm" if causal else "encoder"


def preferred_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@lru_cache(maxsize=1)
def preferred_dtype() -> torch.dtype:
    """Return bfloat16 where the device computes in it natively, else float32."""
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        abilities = torch.cpu.get_capabilities()
        native = any(abilities.get(flag, False) for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and log messages of transformers while the block runs."""
    logging = require("transformers", "llm", "reading a Hugging Face model").utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _load(auto_class: str, name: str | Path, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    model, tokenizer, missing = _read(auto_class, name, dtype)
    # transformers would fill missing weights with random numbers; a pooler that nobody reads may be missing
    _refuse_incomplete(auto_class, name, [key for key in missing if not key.startswith("pooler.")])
    model.config.use_cache = False
    return model.eval().requires_grad_(False).to(preferred_device()), tokenizer


def _read(
    auto_class: str, name: str | Path, dtype: torch.dtype | None, **options: Any
) -> tuple[Any, Any, list[str]]:
    """Read model and tokenizer; return them with the names of weights that were missing."""
    transformers = require("transformers", "llm", "reading a Hugging Face model")
    safetensors = require("safetensors", "llm", "reading a Hugging Face model")
    folder = local_folder(name)
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model, info = getattr(transformers, auto_class).from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=dtype or preferred_dtype(),
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise ConfigError(f"{folder}: not a usable model for {auto_class} ({_first_line(error)})") from error
    return model, tokenizer, sorted(info["missing_keys"])


def _refuse_incomplete(auto_class: str, name: str | Path, missing: Sequence[str]) -> None:
    if missing:
        raise ConfigError(
            f"{local_folder(name)}: not a complete model for {auto_class}; "
            f"{missing[0]!r} is not in its weights"
        )


def _from_gguf(path: Path) -> Path:
    """Convert a GGUF file into a folder of the cache, named by the file's content.

    The folder is renamed into place when it is whole, so a kill leaves nothing half-made under its name.
    """
    transformers = require("transformers", "llm", "reading a GGUF model")
    require("gguf", "llm", "reading a GGUF model")
    require("accelerate", "llm", "reading a GGUF model")
    target = cache_dir() / "models" / content_hash(path)[:24]
    if target.is_dir():
        return target
    source = {"gguf_file": path.name, "local_files_only": True}
    try:
        # the conversion's own progress bar writes to stderr and has no switch
        with atomic_folder(target) as temporary, quiet(), contextlib.redirect_stderr(io.StringIO()):
            auto_model = transformers.AutoModelForCausalLM
            model = auto_model.from_pretrained(path.parent, dtype=torch.float32, **source)
            tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, **source)
            # save_pretrained refuses a model that remembers having been quantised
            model.hf_quantizer = None
            del model.config.quantization_config
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
    except OSError as error:
        raise WorkError(f"{target}: the converted model cannot be written ({_first_line(error)})") from error
    except (ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise ConfigError(f"{path}: not a GGUF model that can be read ({_first_line(error)})") from error
    return target


def _from_hub(name: str) -> Path:
    if not _HUB_NAME.fullmatch(name):
        raise ConfigError(f"{name}: no such file or folder")
    hub = require("huggingface_hub", "llm", "downloading a model")
    errors = require("huggingface_hub.errors", "llm", "downloading a model")
    try:
        with quiet():
            folder = hub.snapshot_download(name, allow_patterns=_HUB_FILES)
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ConfigError(f"{name}: neither a folder here nor a model on the hub") from error
    except (OSError, errors.HfHubHTTPError, RuntimeError) as error:
        raise NetworkError(
            f"{name}: no such folder here, and the hub could not be reached; give a local folder"
        ) from error
    return Path(folder)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
