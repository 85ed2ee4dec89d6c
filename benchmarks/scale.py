"""Corpora beyond one machine's memory: rates, peak memory, kills, an endpoint's share, Ray, tuned teachers.

    qdllm bench scale [--parts predict,rates,endpoint,processes,workers,ray] [--rows 1000000] [--kills 25]
    qdllm bench scale --parts tuned [--tasks reviews,emotion,hiding] [--train 2000]

Each part is measured by itself and kept in FOLDER/scale.json with its date; parts that are not named stay as
they were, and so do tuned teachers of other tasks. Rates are by wall time, beside the rate a CPU second,
which other work disturbs less; the endpoint's share is of the medians of three turns, a bare load generator
and labelling in turn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from _scale.measures import endpoint, kill_processes, kill_workers, predict, rates, ray_speed
from _scale.tuned import tuned

from qdllm.files import read_json, write_json, write_text
from qdllm.machine import describe_machine

_SCHEMA = {"name": "qdllm.scale", "version": 1}
_PARTS = ("predict", "rates", "endpoint", "processes", "workers", "ray", "tuned")
_RATE, _MEGABYTES, _ENDPOINT, _RAY, _GAIN, _KEPT = 30_000, 600, 0.9, 1.7, 0.01, 0.98  # the bars
_CORE_HOUR = 0.04
_MARKS = {True: "met", False: "missed", None: "not measured"}


def main() -> None:
    """Measure the parts asked for, print the page, and write scale.json and scale.md."""
    parser = argparse.ArgumentParser(prog="qdllm bench scale", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=",".join(_PARTS[:-1]), help=", ".join(_PARTS))
    parser.add_argument("--rows", type=int, default=1_000_000, help="texts to predict")
    parser.add_argument("--texts", type=int, default=3000, help="texts to ask an endpoint about")
    parser.add_argument("--kills", type=int, default=25, help="of processes, and of Ray's workers")
    parser.add_argument("--blocks", type=int, default=100, help="blocks that Ray's workers share")
    parser.add_argument("--tasks", default="reviews,emotion,hiding", help="to tune teachers on")
    parser.add_argument("--train", type=int, default=2000, help="rows to tune on, at most")
    parser.add_argument("--model", default="smollm2", help="to tune")
    models = Path(gettempdir()) / "qdllm-tuned"
    parser.add_argument("--models", type=Path, default=models, help="where the tuned ones lie")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    path = options.out / "scale.json"
    results: dict[str, Any] = read_json(path) if path.is_file() else {"schema": _SCHEMA, "parts": {}}
    for part in options.parts.split(","):
        if part not in _PARTS:
            parser.error(f"no part {part!r}; there are {', '.join(_PARTS)}")
        earlier = results["parts"].get(part, {"found": {}})["found"]
        for found in _measure(part, options, earlier):
            machine = describe_machine("torch", "pyarrow", "urllib3")
            results["parts"][part] = {"machine": machine, "found": found}
            write_json(path, results)
    write_text(options.out / "scale.md", as_markdown(results))
    print(json.dumps(results, indent=2) if options.json else as_markdown(results))


def _measure(part: str, options: argparse.Namespace, earlier: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what is found: at once, or with each tuned teacher beside those of before."""
    if part == "tuned":
        for task in options.tasks.split(","):
            earlier = {**earlier, task: tuned(task, options.train, options.model, options.models)}
            yield earlier
        return
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "predict": lambda: predict(options.rows),
        "rates": rates,
        "endpoint": lambda: endpoint(options.texts),
        "processes": lambda: kill_processes(options.kills),
        "workers": lambda: kill_workers(options.kills),
        "ray": lambda: ray_speed(options.blocks),
    }
    yield ways[part]()


def bars(parts: dict[str, Any]) -> list[tuple[str, str, bool | None]]:
    """Return what was asked for, what was found, and whether it is met; None where it was not measured."""
    found = {name: part["found"] for name, part in parts.items()}
    rows: list[tuple[str, str, bool | None]] = []
    if "predict" in found:
        size, last = max(found["predict"]["sizes"].items(), key=lambda item: int(item[0]))
        rate, cpu, peak = (last[name] for name in ("texts_per_second", "texts_per_cpu_second", "peak_mb"))
        said = f"{rate:,.0f} ({cpu:,.0f} a CPU second)"
        rows.append((f"`predict`, texts a second on {int(size):,}: {_RATE:,}", said, rate >= _RATE))
        rows.append((f"`predict`, peak memory under {_MEGABYTES} MB", f"{peak:,.0f} MB", peak < _MEGABYTES))
    if "endpoint" in found:
        share = found["endpoint"]["share"]
        said = f"{share:.0%} of {found['endpoint']['server_answers_per_second']:.0f} answers a second"
        rows.append((f"an endpoint's own rate: {_ENDPOINT:.0%}", said, share >= _ENDPOINT))
    for name, whose in (("processes", "labelling processes"), ("workers", "Ray's workers")):
        if name in found:
            lost, doubled, kills = (found[name][key] for key in ("lost", "doubled", "kills"))
            said = f"{lost} lost, {doubled} doubled of {found[name]['rows']:,} in {kills} kills"
            rows.append((f"kills of {whose}: no row lost or doubled", said, not lost and not doubled))
    if "ray" in found:
        times = found["ray"]["times"]
        rows.append((f"two of Ray's workers against one: {_RAY} times", f"{times:.2f} times", times >= _RAY))
    tasks = found.get("tuned", {})
    gains = [task["gain"]["mean"] for task in tasks.values()]
    said = ", ".join(f"{name} {100 * task['gain']['mean']:+.1f}" for name, task in tasks.items())
    met = all(gain >= _GAIN for gain in gains) if len(gains) >= 3 else None
    rows.append(("a tuned teacher above its better self on three tasks: 1 point", said, met))
    kept = ", ".join(f"{name} {100 * task['student_share']:.1f} %" for name, task in tasks.items())
    met = all(task["student_share"] >= _KEPT for task in tasks.values()) if len(tasks) >= 3 else None
    rows.append((f"its student keeps {_KEPT:.0%}", kept, met))
    return rows


def as_markdown(results: dict[str, Any]) -> str:
    """Write the page."""
    parts = results["parts"]
    lines = ["# Scale", "", "From `qdllm bench scale`; each part has a date of its own in `scale.json`.", ""]
    lines += ["| bar | found | |", "|---|---|---|"]
    lines += [f"| {wanted} | {found} | {_MARKS[met]} |" for wanted, found, met in bars(parts)]
    if "predict" in parts:
        lines += _predictions(parts["predict"]["found"])
    if "rates" in parts:
        lines += ["", "Other ways, texts a CPU second, one thread, nothing cached:", ""]
        for name, row in parts["rates"]["found"].items():
            lines.append(f"- {name}: {row['texts_per_cpu_second']:,.0f}")
    if "rates" in parts and "predict" in parts:
        lines += _plan(parts)
    if "tuned" in parts:
        lines += _teachers(parts["tuned"]["found"])
    lines += ["", "Measured on:", ""]
    for name, part in parts.items():
        about = part["machine"]
        lines.append(
            f"- {name}: {about['date']}, {about['cpu']}, {about['cores']} cores, Python {about['python']}"
        )
    return "\n".join([*lines, ""])


def _predictions(found: dict[str, Any]) -> list[str]:
    title = f"`predict` with the n-gram student, one thread, texts of {found['characters']:.0f} characters:"
    lines = ["", title, "", "| texts | a second | a CPU second | peak MB |", "|---|---|---|---|"]
    for size, row in found["sizes"].items():
        numbers = (row["texts_per_second"], row["texts_per_cpu_second"], row["peak_mb"])
        lines.append(f"| {int(size):,} | " + " | ".join(f"{number:,.0f}" for number in numbers) + " |")
    return lines


def _plan(parts: dict[str, Any]) -> list[str]:
    """Hours of one core and money, by the measured rates, for more and more texts."""
    last = max(parts["predict"]["found"]["sizes"].items(), key=lambda item: int(item[0]))[1]
    ways = {"student on n-grams": last, **parts["rates"]["found"]}
    title = f"Core hours, and money at {_CORE_HOUR} an hour (an assumption: put your own), from those rates:"
    lines = ["", title, "", "| texts | " + " | ".join(ways) + " |", "|---" * (len(ways) + 1) + "|"]
    for power in range(6, 11):
        hours = [10**power / row["texts_per_cpu_second"] / 3600 for row in ways.values()]
        cells = [f"{hour:,.2f} h, {_CORE_HOUR * hour:,.2f}" for hour in hours]
        lines.append(f"| 10^{power} | " + " | ".join(cells) + " |")
    return lines


def _teachers(found: dict[str, Any]) -> list[str]:
    lines = ["", "Test accuracy in percent; the gain is over the better of probe and few-shot [95 %]:", ""]
    lines += ["| task | training rows | probe | few-shot | tuned | student | gain |", "|---" * 7 + "|"]
    for name, task in found.items():
        accuracy = [f"{100 * task['accuracy'][k]:.1f}" for k in ("probe", "few-shot", "tuned", "student")]
        gain = [f"{100 * task['gain'][key]:+.1f}" for key in ("mean", "low", "high")]
        cells = [name, f"{task['rows']['train']:,}", *accuracy, f"{gain[0]} [{gain[1]}, {gain[2]}]"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
