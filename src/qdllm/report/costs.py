"""Money: what a million texts cost, and from which volume on the student pays for itself."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qdllm.errors import ConfigError
from qdllm.report.evidence import Evidence

__all__ = ["PRICES", "Prices", "costs"]

PRICES = Path(__file__).with_name("prices.toml")
"""The assumed prices, a file to copy and edit."""

MODELS = ("teacher", "student", "surrogate")
_MILLION = 1_000_000
_TEACHER_FACTORS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_PROJECT_FACTORS = (0.5, 1.0, 2.0)

Found = dict[str, Any]
Price = float | None


class Prices(BaseModel):
    """Prices in one currency; None where none was given.

    Parameters
    ----------
    currency : str
        How it is written, at most 8 characters.
    core_hour, kilowatt_hour, project, texts_per_month, teacher_million_texts : float, optional
        At least 0; see the comments of `PRICES`.
    chip_task, chip_shot, chip_shots : float, optional
        Of a cloud chip: for a task, for a shot, and shots a text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str = Field("USD", min_length=1, max_length=8)
    core_hour: Price = Field(None, ge=0, allow_inf_nan=False)
    kilowatt_hour: Price = Field(None, ge=0, allow_inf_nan=False)
    project: Price = Field(None, ge=0, allow_inf_nan=False)
    texts_per_month: Price = Field(None, ge=0, allow_inf_nan=False)
    teacher_million_texts: Price = Field(None, ge=0, allow_inf_nan=False)
    chip_task: Price = Field(None, ge=0, allow_inf_nan=False)
    chip_shot: Price = Field(None, ge=0, allow_inf_nan=False)
    chip_shots: Price = Field(None, ge=0, allow_inf_nan=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of prices.

        Raises
        ------
        ConfigError
            If it cannot be read, or a price is unknown, negative or no number; the message names it.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid TOML ({error})") from error
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise ConfigError(
                f"{path}: {name}: {first['msg']} (got {first['input']!r}); a price is a number of at least "
                f"0, and the names are {', '.join(cls.model_fields)}"
            ) from error


def costs(evidence: Evidence, prices: Prices, *, assumed: bool) -> Found:
    """Return times, energy, money per million texts, and the break-even volume.

    Parameters
    ----------
    evidence : Evidence
    prices : Prices
    assumed : bool
        Whether they are those of `PRICES`, not the user's.
    """
    timing = evidence.timing or {"models": {}, "machine": None}
    models = {name: _model(name, timing["models"].get(name), prices) for name in MODELS}
    making = _making(evidence, models["teacher"], prices)
    fixed = None if prices.project is None or making is None else prices.project + making
    money = {name: models[name]["money"] for name in MODELS}
    served = _cheaper(money)
    return {
        "assumed": assumed,
        "prices": prices.model_dump(),
        "cpu": None if timing["machine"] is None else timing["machine"]["cpu"],
        "models": models,
        "chip": {"money": _chip(prices), "shots": prices.chip_shots},
        "making": making,
        "fixed": fixed,
        "served": served,
        **_break_even(fixed, money["teacher"], None if served is None else money[served], prices),
    }


def _model(name: str, timed: Mapping[str, Any] | None, prices: Prices) -> Found:
    timed = timed or {"microseconds": None, "joules": None, "reason": None}
    seconds = None if timed["microseconds"] is None else timed["microseconds"] * 1e-6
    money = (
        None if seconds is None or prices.core_hour is None else seconds / 3600 * prices.core_hour * _MILLION
    )
    quoted = name == "teacher" and prices.teacher_million_texts is not None
    joules = timed["joules"]
    return {
        "microseconds": timed["microseconds"],
        "joules": joules,
        "reason": timed["reason"],
        "quoted": quoted,
        "money": prices.teacher_million_texts if quoted else money,
        "energy_money": None
        if joules is None or prices.kilowatt_hour is None
        else joules / 3.6e6 * prices.kilowatt_hour * _MILLION,
    }


def _making(evidence: Evidence, teacher: Mapping[str, Any], prices: Prices) -> float | None:
    """Price the computing: the teacher labels all rows but the test rows, the student is trained."""
    if prices.core_hour is None:
        return None
    rows = evidence.metrics["rows"]
    label = (teacher["money"] or 0.0) * (rows["train"] + rows["validation"]) / _MILLION
    train = evidence.metrics["seconds"]["training"] / 3600 * prices.core_hour
    return float(label + train)


def _chip(prices: Prices) -> float | None:
    if prices.chip_task is None or prices.chip_shot is None or prices.chip_shots is None:
        return None
    return (prices.chip_task + prices.chip_shots * prices.chip_shot) * _MILLION


def _cheaper(money: Mapping[str, float | None]) -> str | None:
    """Name which of student and surrogate is cheaper, where one is known."""
    known = [(money[name], name) for name in ("student", "surrogate") if money[name] is not None]
    return min(known)[1] if known else None


def _break_even(fixed: float | None, teacher: float | None, served: float | None, prices: Prices) -> Found:
    """Return the volume at which what was saved equals what was spent, and how it moves with the prices."""
    nothing = {"saving": None, "break_even": None, "months": None, "sensitivity": None}
    if fixed is None or teacher is None or served is None:
        return nothing
    saving = teacher - served
    texts = _volume(fixed, saving)
    months = None if texts is None or not prices.texts_per_month else texts / prices.texts_per_month
    sensitivity = [
        {
            "project_factor": project,
            "points": [
                {"teacher_factor": factor, "texts": _volume(project * fixed, factor * teacher - served)}
                for factor in _TEACHER_FACTORS
            ],
        }
        for project in _PROJECT_FACTORS
    ]
    return {"saving": saving, "break_even": texts, "months": months, "sensitivity": sensitivity}


def _volume(fixed: float, saving: float) -> float | None:
    """Texts that a saving per million texts takes to pay a fixed cost; None where nothing is saved."""
    return fixed / saving * _MILLION if saving > 0 else None
