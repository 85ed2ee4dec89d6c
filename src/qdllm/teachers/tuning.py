"""Fine-tuning a language model into a teacher: low-rank adapters (LoRA) and a head for the classes.

LoRA (Hu et al. 2021, arXiv 2106.09685) adds a trained product of two thin matrices to every linear map of a
frozen model. Afterwards they are merged, so that the result is an ordinary sequence classifier.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

import qdllm
from qdllm.data import Split, TextDataset
from qdllm.errors import ConfigError, DataError, TrainingError
from qdllm.extras import require
from qdllm.files import atomic_folder, atomic_path, write_json
from qdllm.models import encode_batches, fingerprint, load_untaught, preferred_dtype
from qdllm.progress import progress
from qdllm.teachers.calibration import fit_temperature, log_loss
from qdllm.teachers.lesson import Lesson
from qdllm.teachers.task import Task, find_classes

__all__ = ["TuningSettings", "fine_tune"]

_WARM_UP = 0.06  # of all steps
_LARGEST_GRADIENT = 1.0  # its norm is cut there
_LOOKS = 2  # an epoch is looked at so often: scored, and kept
_SCHEMA = {"name": "qdllm.taught", "version": 1}


class TuningSettings(BaseModel):
    """How a language model is fine-tuned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1, description="Of the adapters; they are scaled by twice their rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Before the adapters.")
    learning_rate: float = Field(3e-4, gt=0, allow_inf_nan=False, description="AdamW's largest step.")
    weight_decay: float = Field(0.01, ge=0, allow_inf_nan=False, description="Of the adapters and the head.")
    batch_size: int = Field(32, ge=1, description="Rows a step.")
    step_tokens: int = Field(
        1024, ge=1, description="Tokens computed at once; gradients of a step are summed over such pieces."
    )
    epochs: int = Field(3, ge=1, description="Passes over the training rows, at most.")
    patience: int = Field(3, ge=1, description="Looks, two an epoch, without a better loss before stopping.")
    max_tokens: int = Field(256, ge=8, description="A text is cut after so many tokens.")
    weights: Literal["auto", "8-bit", "16-bit"] = Field(
        "auto", description="Of the frozen model; auto is 8-bit where bitsandbytes and a GPU are there."
    )


def fine_tune(
    model: str | Path,
    dataset: TextDataset,
    split: Split,
    out: str | Path,
    settings: TuningSettings | None = None,
    *,
    seed: int = 0,
    about: dict[str, Any] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fine-tune on the visible labels of the training rows, stop by those of the validation rows, and save.

    An interrupted call goes on from its last look when it is repeated; the result is the same.

    Parameters
    ----------
    model : str or Path
        A pinned asset, path or hub name of a causal language model or an encoder.
    dataset, split
        Test rows are not looked at.
    out : path
        Folder of the classifier; it is written when training is done, and the checkpoint lies beside it.
    settings : TuningSettings, optional
    seed : int
        Of the head, the order of rows and dropout.
    about : dict, optional
        JSON values to keep with it: what else the split depends on.
    quiet : bool
        Show no progress.

    Returns
    -------
    dict
        What teacher.json holds: base, settings, rows, and every look's loss and accuracy.

    Raises
    ------
    DataError
        If a class has no visible training label, or no validation row has one.
    TrainingError
        If the loss is no longer a number.
    MissingExtraError
        If peft is not installed.
    """
    settings = settings or TuningSettings()
    require("peft", "teach", "fine-tuning a teacher")
    task = Task.of(dataset, split, find_classes(dataset, None, "fine-tuning"), seed=seed)
    _check(task)
    in_8_bit = _in_8_bit(settings)
    content = [fingerprint(model), settings.model_dump(), seed, task.classes, in_8_bit, qdllm.__version__]
    shown = [(task.row_ids[i], int(task.codes[i])) for i in (*task.train, *task.calibration)]
    identity = hashlib.sha256(json.dumps([content, shown]).encode()).hexdigest()
    target = Path(out)
    checkpoint = target.with_name(f"{target.name}.checkpoint.safetensors")
    with torch.random.fork_rng():
        tuned = _Tuning(model, task, settings, seed, in_8_bit=in_8_bit)
        tuned.run(_Checkpoint(checkpoint, identity), quiet=quiet)
        merged, tokenizer = tuned.merged()
    report = {
        "schema": _SCHEMA,
        "base": str(model),
        "fingerprint": content[0],
        "settings": settings.model_dump(),
        "weights": "8-bit" if in_8_bit else str(preferred_dtype()),
        "seed": seed,
        "classes": list(task.classes),
        "rows": {"train": len(task.train), "validation": len(task.calibration)},
        "trained_parameters": tuned.size,
        "looks": [asdict(look) for look in tuned.state.looks],
        "best": asdict(tuned.state.best),
        "qdllm": qdllm.__version__,
        **(about or {}),
    }
    with atomic_folder(target) as folder:
        merged.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        Lesson(dataset.row_ids, split.part, {"seed": seed, **(about or {})}).write(folder)
        write_json(folder / "teacher.json", report)
    checkpoint.unlink(missing_ok=True)
    return report


@dataclass(frozen=True)
class _Look:
    """What the model was worth on the validation rows after so many steps.

    `loss` is the mean −log p of the true class at the best temperature, in nats.
    """

    step: int
    loss: float
    accuracy: float


@dataclass
class _State:
    step: int = 0
    looks: list[_Look] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)  # the best ones

    @property
    def best(self) -> _Look:
        return min(self.looks, key=lambda look: look.loss)

    def is_over(self, patience: int) -> bool:
        """Whether the last looks were none better."""
        return bool(self.looks) and len(self.looks) - 1 - self.looks.index(self.best) >= patience


class _Tuning:
    """A model with adapters, its optimiser, and the rows it learns from."""

    def __init__(
        self, model: str | Path, task: Task, settings: TuningSettings, seed: int, *, in_8_bit: bool
    ) -> None:
        self._source, self._task, self._settings, self._seed = model, task, settings, seed
        self._in_8_bit = in_8_bit
        torch.manual_seed(seed)
        base, self._tokenizer = load_untaught(model, task.classes, in_8_bit=in_8_bit)
        self._model = self._adapted(base)
        self._trained = {n: p for n, p in self._model.named_parameters() if p.requires_grad}
        for parameter in self._trained.values():
            parameter.data = parameter.data.float()
        self._optimizer = torch.optim.AdamW(
            self._trained.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.size = sum(parameter.numel() for parameter in self._trained.values())
        self.state = _State()

    def run(self, checkpoint: _Checkpoint, *, quiet: bool) -> None:
        """Take all steps that the checkpoint has not taken yet."""
        rows, settings = self._task.train, self._settings
        per_epoch = math.ceil(len(rows) / settings.batch_size)
        total = per_epoch * settings.epochs
        between = math.ceil(per_epoch / _LOOKS)
        self.state = checkpoint.load(self._trained, self._optimizer)
        with progress("fine-tuning", total, unit="steps", done=self.state.step, quiet=quiet) as advance:
            while self.state.step < total and not self.state.is_over(settings.patience):
                epoch, place = divmod(self.state.step, per_epoch)
                order = np.random.default_rng([self._seed, epoch]).permutation(rows)
                self._step(order[place::per_epoch], self.state.step / total)
                self.state.step += 1
                advance(1)
                if self.state.step % between == 0 or self.state.step == total:
                    self._look()
                    checkpoint.save(self.state, self._trained, self._optimizer)
        for name, parameter in self._trained.items():
            parameter.data.copy_(self.state.weights[name])

    def merged(self) -> tuple[Any, Any]:
        """Return an ordinary classifier with the best adapters added to its weights, and the tokenizer."""
        model = self._model
        if self._in_8_bit:  # into whole weights, not into rounded ones
            torch.manual_seed(self._seed)
            model = self._adapted(load_untaught(self._source, self._task.classes)[0])
            own = dict(model.named_parameters())
            for name, parameter in self._trained.items():
                own[name].data.copy_(parameter.data)
        classifier = model.merge_and_unload()
        return classifier.to(preferred_dtype()), self._tokenizer

    def _adapted(self, base: Any) -> Any:
        peft = require("peft", "teach", "fine-tuning a teacher")
        if self._in_8_bit:
            base = peft.prepare_model_for_kbit_training(base)
        base.config.use_cache = False
        config = peft.LoraConfig(
            task_type=peft.TaskType.SEQ_CLS,
            r=self._settings.rank,
            lora_alpha=2 * self._settings.rank,
            lora_dropout=self._settings.dropout,
            target_modules="all-linear",
        )
        with warnings.catch_warnings():  # it asks transformers by a name of before
            warnings.simplefilter("ignore", FutureWarning)
            return peft.get_peft_model(base, config)

    def _step(self, rows: NDArray[np.int64], progressed: float) -> None:
        """Move once; `progressed` is the share of all steps that are taken."""
        self._model.train()
        torch.manual_seed(self._seed * 2**32 + self.state.step)  # dropout, the same after a restart
        warm_up = min(1.0, (progressed + 1e-9) / _WARM_UP)
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * min(warm_up, 1 - progressed)
        codes = torch.as_tensor(self._task.codes[rows], device=self._model.device)
        total = 0.0
        for indices, logits in self._forward(self._task.take(rows)):
            loss = functional.cross_entropy(logits, codes[indices], reduction="sum") / len(rows)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        if not math.isfinite(total):
            raise TrainingError(
                f"the loss is {total} after {self.state.step} steps; try a smaller --learning-rate"
            )
        torch.nn.utils.clip_grad_norm_(self._trained.values(), _LARGEST_GRADIENT)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def _look(self) -> None:
        """Score on the validation rows; remember the weights where they are the best."""
        self._model.eval()
        rows = self._task.calibration
        logits = np.empty((len(rows), len(self._task.classes)))
        with torch.inference_mode():
            for indices, some in self._forward(self._task.take(rows)):
                logits[indices] = some.cpu().numpy()
        codes = self._task.codes[rows]
        loss = log_loss(logits, codes, fit_temperature(logits, codes))
        accuracy = float((logits.argmax(axis=1) == codes).mean())
        self.state.looks.append(_Look(self.state.step, loss, accuracy))
        if self.state.best is self.state.looks[-1]:
            self.state.weights = {n: p.detach().cpu().clone() for n, p in self._trained.items()}

    def _forward(self, texts: Sequence[str]) -> Iterator[tuple[list[int], Tensor]]:
        settings = self._settings
        batches = encode_batches(
            self._model,
            self._tokenizer,
            texts,
            max_tokens=settings.max_tokens,
            tokens_per_batch=settings.step_tokens,
        )
        for indices, ids, mask in batches:
            with torch.autocast(self._model.device.type, torch.bfloat16, enabled=_computes_in_16_bit()):
                logits = self._model(input_ids=ids, attention_mask=mask).logits
            yield indices, logits.float()


class _Checkpoint:
    """Everything that the next step depends on, in one safetensors file."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity

    def save(self, state: _State, trained: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
        tensors = {f"now.{name}": parameter.detach().cpu() for name, parameter in trained.items()}
        tensors |= {f"best.{name}": value for name, value in state.weights.items()}
        for name, parameter in trained.items():
            for key, value in optimizer.state[parameter].items():
                tensors[f"optimizer.{key}.{name}"] = value.cpu()
        about = {"identity": self._identity, "step": str(state.step)}
        about["looks"] = json.dumps([asdict(look) for look in state.looks])
        with atomic_path(self._path) as temporary:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, about)

    def load(self, trained: dict[str, Any], optimizer: torch.optim.Optimizer) -> _State:
        """Restore in place what belongs to this training; a new state where nothing does."""
        if not self._path.is_file():
            return _State()
        try:
            with safe_open(self._path, framework="pt") as file:
                about = file.metadata() or {}
                if about.get("identity") != self._identity:
                    return _State()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError:  # no file of ours
            return _State()
        for name, parameter in trained.items():
            parameter.data.copy_(tensors[f"now.{name}"])
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"optimizer.{key}.{name}" in tensors]
            optimizer.state[parameter] = {
                key: tensors[f"optimizer.{key}.{name}"].to("cpu" if key == "step" else parameter.device)
                for key in keys
            }
        best = {name: tensors[f"best.{name}"] for name in trained}
        looks = [_Look(**look) for look in json.loads(about["looks"])]
        return _State(int(about["step"]), looks, best)


def _check(task: Task) -> None:
    counts = np.bincount(task.codes[task.train], minlength=len(task.classes))
    if (counts == 0).any():
        name = task.classes[int(counts.argmin())]
        raise DataError(f"class {name!r}: no visible label in the training part to learn from")
    if task.source != "validation":
        raise DataError(
            f"only {len(task.calibration)} labels, too few of them in the validation part to stop by; "
            "fine-tuning needs 30 there"
        )


def _in_8_bit(settings: TuningSettings) -> bool:
    able = torch.cuda.is_available() and find_spec("bitsandbytes") is not None
    if settings.weights == "8-bit" and not able:
        raise ConfigError("8-bit weights need a GPU and bitsandbytes: pip install bitsandbytes")
    return able and settings.weights != "16-bit"


def _computes_in_16_bit() -> bool:
    return preferred_dtype() == torch.bfloat16
