"""What a distillation run is told: one validated configuration, read from TOML, saved with the run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qdllm.circuits import ANSATZE
from qdllm.errors import ConfigError
from qdllm.files import write_text
from qdllm.teachers import EndpointSettings

__all__ = ["DataConfig", "EncoderConfig", "RunConfig", "StudentConfig", "TeacherConfig"]

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """Texts, labels and the split."""

    path: str = Field(
        description="CSV, TSV, JSONL or Parquet file, a folder with one folder per class, or `demo:TASK`."
    )
    test: str | None = Field(
        None, description="A file of test rows; without it, a share of `path` is kept back."
    )
    text: str = Field("text", description="Name of the column of texts.")
    label: str = Field("label", description="Name of the column of labels.")
    group: str | None = Field(None, description="Column whose values never stand in two parts of the split.")
    charset: str = Field("utf-8", description="Character encoding of CSV, TSV, JSONL and text files.")
    validation_share: Share = Field(0.15, description="Share of the rows that choices are made on.")
    test_share: Share = Field(
        0.2, description="Share of the rows kept back for testing, where `test` is not set."
    )
    labels_per_class: int | None = Field(
        None, ge=1, description="Hide all labels but this many a class from teacher and student."
    )


class TeacherConfig(_Section):
    """Who teaches."""

    source: str = Field(
        "smollm2",
        description="`smollm2`, a Hugging Face path or name, `http(s)://…` of a server, or a Parquet of "
        "probabilities.",
    )
    mode: Literal["auto", "zero-shot", "few-shot", "probe", "classifier"] = Field(
        "auto", description="How a language model is asked; `auto` takes what is better on validation rows."
    )
    template: str | None = Field(
        None, description="How a prompt writes a text and its label: `Review: {text}\\nSentiment: {label}`."
    )
    label_words: dict[str, str] | None = Field(
        None, description="The words that stand for a class in a prompt, or a classifier's own label."
    )
    shots: int = Field(4, ge=1, description="Examples of each class in a few-shot prompt.")
    layer: int | None = Field(
        None, ge=1, description="Layer that a probe reads, from 1; by default the best on validation rows."
    )
    labels: str | None = Field(None, description="A Parquet of soft labels made by `qdllm label`.")
    endpoint: EndpointSettings = Field(EndpointSettings(), description="How a server is asked.")


class EncoderConfig(_Section):
    """What turns texts into features."""

    source: str = Field(
        "minilm",
        description="`minilm`, `tfidf`, `ngrams`, a Hugging Face path or name, or several joined by `+`.",
    )
    features: str | None = Field(None, description="A Parquet of features made by `qdllm embed`.")

    @property
    def is_trained(self) -> bool:
        """Whether the encoder is trained together with the student, and has no features before."""
        return self.source == "ngrams" and self.features is None


Numbers = float | list[float]


class NoiseConfig(_Section):
    """Noise on ⟨Z⟩ in training (see `qdllm.distill.OutputNoise`)."""

    chip: str | None = Field(
        None, description="A calibration, `baihua` or a JSON file, from which the other numbers are found."
    )
    shots: int | None = Field(None, ge=1, description="Shots that a text will get.")
    scale: Numbers = Field(1.0, description="Factor on every ⟨Z⟩.")
    offset: Numbers = Field(0.0, description="What is added to every ⟨Z⟩.")
    spread: Numbers = Field(0.0, description="Standard deviation of what varies.")


class StudentConfig(_Section):
    """The circuit and how it is trained (see `qdllm.Student`)."""

    n_qubits: int = Field(11, ge=1, description="Number of qubits.")
    n_layers: int = Field(2, ge=1, description="Number of ansatz layers.")
    ansatz: str = Field("qd_llm", description=f"Name of the circuit: {', '.join(sorted(ANSATZE))}.")
    encoding: Literal["auto", "linear", "tanh", "minmax"] = Field(
        "linear",
        description="How the projection's output becomes angles; `minmax` is the paper's, `auto` tries all "
        "and keeps the best on validation rows.",
    )
    readout: Literal["z", "zz", "strings"] = Field(
        "z", description="What is measured: every Z, also every product of two, or every product."
    )
    alpha: float = Field(0.5, ge=0.0, le=1.0, description="Weight of the teacher against the gold label.")
    temperature: float = Field(2.0, gt=0.0, allow_inf_nan=False, description="Softening in the KL term.")
    self_training: int = Field(
        0, ge=0, description="Rounds in which the student's own probabilities take the teacher's place."
    )
    epochs: int | None = Field(
        None, ge=1, description="Passes over the training rows, at most; by default 30, on few rows more."
    )
    batch_size: int = Field(64, ge=1, description="Rows a step.")
    learning_rate: float = Field(0.003, gt=0.0, allow_inf_nan=False, description="AdamW's step at the start.")
    weight_decay: float = Field(3.0, ge=0.0, allow_inf_nan=False, description="Decay of the projection.")
    circuit_decay: float = Field(
        0.0, ge=0.0, allow_inf_nan=False, description="Decay of the circuit's angles, for a small formula."
    )
    epsilon: float = Field(
        1e-8,
        gt=0.0,
        allow_inf_nan=False,
        description="AdamW's ε for the projection: 0.01 makes its steps proportional to gradients.",
    )
    phases: float = Field(
        0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="The projection's biases begin uniform in ± this, in radians.",
    )
    dropout: float = Field(0.4, ge=0.0, lt=1.0, description="Share of features set to 0 in a step.")
    patience: int | None = Field(
        None, ge=1, description="Epochs without a better validation loss before stopping [a third of epochs]."
    )
    noise: NoiseConfig | None = Field(None, description="Train for a chip, or for few shots.")

    def parameters(self) -> dict[str, Any]:
        """Return what `qdllm.Student` takes; a chip's noise is looked up, and simulated for the circuit."""
        found = self.model_dump(exclude={"noise"})
        noise = None if self.noise is None else self.noise.model_dump(exclude_unset=True)
        if noise is not None and (chip := noise.pop("chip", None)) is not None:
            from qdllm.devices import chip_noise, load_calibration

            design = (self.ansatz, self.n_qubits, self.n_layers, self.readout)
            noise = {**chip_noise(load_calibration(chip), *design), **noise}
        return {**found, "noise": noise}


class RunConfig(_Section):
    """Everything a run depends on; saved as config.toml in the run folder."""

    seed: int = Field(0, ge=0, description="Seeds the split, the teacher's examples and folds, and training.")
    data: DataConfig
    teacher: TeacherConfig = TeacherConfig()
    encoder: EncoderConfig = EncoderConfig()
    student: StudentConfig = StudentConfig()

    @classmethod
    def from_toml(cls, path: str | Path | None, overrides: dict[str, Any]) -> Self:
        """Read a TOML file, if given, and lay `overrides` (nested, None left out) over it.

        Raises
        ------
        ConfigError
            If the file cannot be read, or a field is unknown or out of range; the message names it.
        """
        content: dict[str, Any] = {}
        if path is not None:
            try:
                content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            except OSError as error:
                raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise ConfigError(f"{path}: not valid TOML ({error})") from error
        where = "the options" if path is None else str(path)
        try:
            return cls.model_validate(_overlay(content, overrides))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise ConfigError(f"{where}: {name}: {first['msg']} (got {first['input']!r})") from error

    def without_files(self) -> Self:
        """Forget soft labels and features made before: for the commands that make them."""
        return self.model_copy(
            update={
                "teacher": self.teacher.model_copy(update={"labels": None}),
                "encoder": self.encoder.model_copy(update={"features": None}),
            }
        )

    def with_teacher_as(self, meta: Mapping[str, Any]) -> Self:
        """Ask the teacher as soft labels with this meta were asked for: in the same mode, the same layer."""
        layer = meta["layer"] if meta["mode"] == "probe" else None
        teacher = self.teacher.model_copy(update={"mode": meta["mode"], "layer": layer})
        return self.model_copy(update={"teacher": teacher})

    def to_toml(self, path: str | Path) -> None:
        """Write the configuration with every field spelled out, but for those that are not set."""
        write_text(path, tomli_w.dumps(self.model_dump(mode="json", exclude_none=True)))


def _overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict):
            below = merged.get(key, {})
            merged[key] = _overlay(below if isinstance(below, dict) else {}, value)
        elif value is not None:
            merged[key] = value
    return merged
