"""Students on a simulated chip: accuracy with noise, shots and mitigation; the simulator beside Aer; jobs.

    qdllm bench chips [--runs FOLDER] [--tasks news,topic] [--rows 10000] [--repeats 10] [--workers N]
        [--out FOLDER]

FOLDER of --runs holds a finished run for each task. Test rows are those of the run; corrections are fitted
on validation rows. What the file in --out holds already, of the same students and settings, is not measured
again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _chips.engine import compare_with_aer, count_gates, time_batch, time_simulators
from _chips.kills import run_kills
from _chips.students import CONFIDENCE, FEW, LEAST_GAIN, is_complete, measure, parts
from _machines import by_machine

from qdllm.compare import Workers, available_cores, one_thread
from qdllm.devices import load_calibration
from qdllm.files import file_sha256, read_json, write_json, write_text
from qdllm.machine import describe_machine
from qdllm.progress import progress

_SCHEMA = {"name": "qdllm.chips", "version": 6}
_CALIBRATION = "baihua"
_PACKAGES = ("torch", "qiskit", "qiskit-aer", "qdllm")
# The bars.
_MITIGATED = {"1024": 0.5, "64": 1.0}  # points from exact
_FEW_SHOTS = 1.0  # points lost at 8 shots
_SAVED = 0.5  # of the smallest fixed number of shots
_SAME = 0.001  # accuracies this close are the same
_GATES = 0.5  # of the routed CZs
_SPEED, _SECONDS, _KILLS = 20, 15, 200


def main() -> None:
    """Measure, print the page, and write chips.json and chips.md."""
    parser = argparse.ArgumentParser(prog="qdllm bench chips", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/comparison"))
    parser.add_argument("--tasks", default="news,topic,hiding,reviews,spam,emotion", help="comma-separated")
    parser.add_argument("--rows", type=int, default=10_000, help="test rows of a task, at most")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--kills", type=int, default=_KILLS)
    parser.add_argument("--workers", type=int, help="processes; as many as there are cores unless given")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    tasks = [task for task in options.tasks.split(",") if task]
    if missing := [task for task in tasks if not (options.runs / task / "metrics.json").is_file()]:
        parser.error(f"{options.runs} has no finished run of {', '.join(missing)}")
    calibration = load_calibration(_CALIBRATION)
    results: dict[str, Any] = {
        "schema": _SCHEMA,
        "command": f"qdllm bench chips --rows {options.rows} --repeats {options.repeats}",
        "calibration": {"id": calibration.id, "source": calibration.source, "measured": calibration.measured},
        "tasks": {},
        "engine": {},
    }
    path = options.out / "chips.json"
    earlier = read_json(path) if path.is_file() else {}
    if all(earlier.get(name) == results[name] for name in ("schema", "command", "calibration")):
        results |= {name: earlier[name] for name in ("tasks", "engine")}
    measure_engine(results["engine"], options.kills, lambda: write_json(path, results))
    for task in tasks:
        begin_task(results["tasks"], task, options.runs / task / "student" / "model.safetensors")
    wanted = {
        part: results["tasks"][task]
        for task in tasks
        for part in parts(options.runs / task, _CALIBRATION, options.rows, options.repeats)
    }
    missing = [part for part, task in wanted.items() if not part.is_in(task)]
    done, machine = len(wanted) - len(missing), describe_machine("torch", "qiskit")
    with (
        progress("parts", len(wanted), unit="parts", done=done, quiet=options.json) as advance,
        Workers(options.workers or available_cores()) as processes,
    ):
        for part, found in processes.map(measure, missing):
            part.put(found, wanted[part], machine)
            write_json(path, results)
            advance(1)
    results["tasks"] = {name: task for name, task in results["tasks"].items() if is_complete(task)}
    write_text(options.out / "chips.md", as_markdown(results))
    print(json.dumps(results, indent=2) if options.json else as_markdown(results))


def begin_task(tasks: dict[str, Any], name: str, weights: Path) -> None:
    """Keep a task's figures where they are of this very student; begin anew where they are of another."""
    student = file_sha256(weights)
    if tasks.get(name, {}).get("student") != student:
        tasks[name] = {"student": student}


def measure_engine(engine: dict[str, Any], kills: int, keep: Callable[[], None]) -> None:
    """Measure what needs no student and is missing."""
    missing: dict[str, Callable[[], Any]] = {
        "gates": count_gates,
        "aer": compare_with_aer,
        "speed": time_simulators,
        "seconds_of_64_inputs": time_batch,
        "kills": lambda: run_kills(kills),
        "machine": lambda: describe_machine("torch", "qiskit", "qiskit-aer"),
    }
    with one_thread():
        for name, part in missing.items():
            if name not in engine:
                engine[name] = part()
                keep()


def judge(results: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Hold the figures against the bars: what is wanted, what was found at worst, whether that is enough."""
    tasks, engine = list(results["tasks"].values()), results["engine"]
    bars = []
    for shots, most in _MITIGATED.items():
        lost = 100 * min(np.mean(task["shots"][shots]["mitigated"]) - _exact(task) for task in tasks)
        wanted = f"mitigated accuracy at {shots} shots within {most} points of exact"
        bars.append((wanted, f"{lost:+.2f} points", bool(lost >= -most)))
    ways = {
        "accuracy": (f"until more gain less than {LEAST_GAIN:g}", "accuracy"),
        "agreement": (f"until {CONFIDENCE:g} sure", "agreement with the exact student"),
    }
    for kind, (until, said) in ways.items():
        shares = {name: _share_of_fixed(task, kind) for name, task in results["tasks"].items()}
        wanted = (
            f"adaptive shots, {until}, are at most half of the smallest fixed number with the same {said}"
        )
        found = ", ".join(
            f"{name} {100 * share:.0f} %" if np.isfinite(share) else f"{name} –"
            for name, share in shares.items()
        )
        bars.append((wanted, found, max(shares.values()) <= _SAVED))
    lost = 100 * min(_few_shots(task) - _exact(task) for task in tasks)
    wanted = f"a student trained for {FEW} shots loses at most {_FEW_SHOTS} point"
    bars.append((wanted, f"{lost:+.2f} points", bool(lost >= -_FEW_SHOTS)))
    lost = 100 * min(task["few_shots_adaptive"]["accuracy"] - _exact(task) for task in tasks)
    most = max(task["few_shots_adaptive"]["mean_shots"] for task in tasks)
    wanted = f"the same, {FEW} shots in the mean, given to texts as they need them"
    bars.append((wanted, f"{lost:+.2f} points, at most {most:.1f} shots", bool(lost >= -_FEW_SHOTS)))
    gates = engine["gates"]
    found = f"{gates['lowered']} of {gates['median_routed']:g}"
    few = gates["lowered"] <= _GATES * gates["median_routed"]
    bars.append(("at most half of the CZs that Qiskit routes", found, few))
    aer, kills = engine["aer"], engine["kills"]
    # Four standard errors of the mean and of the spread of independent scores.
    centred = abs(aer["mean"]) <= 4 / np.sqrt(aer["values"])
    spread = abs(aer["standard_deviation"] - 1) <= 4 / np.sqrt(2 * aer["values"])
    wanted = f"{aer['values']} values as Aer's: z-scores of mean 0, spread 1"
    bars.append((wanted, f"{aer['mean']:+.2f}, {aer['standard_deviation']:.2f}", bool(centred and spread)))
    times = engine["speed"]["times_as_fast"]
    wanted = f"{_SPEED} times as fast as the faster of Aer's methods"
    bars.append((wanted, f"{times:.0f} times", times >= _SPEED))
    seconds = engine["seconds_of_64_inputs"]
    wanted = f"64 inputs of 1,024 shots in under {_SECONDS} s on one core"
    bars.append((wanted, f"{seconds:.1f} s", seconds < _SECONDS))
    exported = sum(task["about"]["qasm_round_trips"] for task in tasks)
    wanted = "the exported circuit of every student round-trips through Qiskit"
    bars.append((wanted, f"{exported} of {len(tasks)}", exported == len(tasks)))
    sound = kills["kills"] >= _KILLS and not kills["lost"] and not kills["paid_twice"]
    found = f"{kills['kills']} kills: {kills['lost']} lost, {kills['paid_twice']} paid twice"
    bars.append((f"{_KILLS} random kills, no job lost or paid twice", found, sound))
    return bars


def _exact(task: dict[str, Any]) -> float:
    return float(task["about"]["exact"])


def _share_of_fixed(task: dict[str, Any], kind: str) -> float:
    """Adaptive shots as a share of the fewest fixed ones that are as good; inf if half a point is lost."""
    by_gain = kind == "accuracy"
    adaptive = task["least_gain"][str(LEAST_GAIN)] if by_gain else task["adaptive"][str(CONFIDENCE)]
    ways = {"accuracy": "mitigated", "agreement": "agreement"}
    fixed = {int(shots): np.mean(found[ways[kind]]) for shots, found in task["shots"].items()}
    if adaptive[kind] < max(fixed.values()) - _MITIGATED["1024"] / 100:
        return float("inf")
    enough = [shots for shots, value in fixed.items() if value >= adaptive[kind] - _SAME]
    return float(adaptive["mean_shots"] / min(enough, default=max(fixed)))


def _few_shots(task: dict[str, Any]) -> float:
    """Accuracy at 8 shots, mitigated, of the student for few shots that is best on validation rows."""
    return float(np.mean(task["few_shots"][_for_few_shots(task)]["mitigated"]))


def _for_few_shots(task: dict[str, Any]) -> str:
    students = task["few_shots"]
    return str(max(students, key=lambda name: np.mean(students[name]["validation"])))


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    about = results["calibration"]
    lines = [
        "# Chips",
        "",
        f"Made by `{results['command']}`:",
        "",
        *by_machine(_measured(results), _PACKAGES),
        "",
        f"The chip is simulated. Calibration {about['id']}: {about['source']}. What is sent and how errors "
        "are undone: [chips](../ideas/chips.md).",
        "",
        "Found on the worst task, unless tasks are named; –: half a point less accurate than with the best "
        "fixed number.",
        "",
        "| bar | found | |",
        "|---|---|---|",
        *(f"| {wanted} | {found} | {'met' if met else 'missed'} |" for wanted, found, met in judge(results)),
        *_accuracy(results["tasks"]),
        *_few_shots_table(results["tasks"]),
        *_adaptive(results["tasks"]),
        *_drift(results["tasks"]),
        *_simulator(results["engine"]),
    ]
    return "\n".join(lines) + "\n"


def _measured(results: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield task, kind of figures, and the machine that they were measured on."""
    for name, task in results["tasks"].items():
        for kind, machine in task["machines"].items():
            yield name, kind.replace("_", " "), machine
    yield "the simulator", "", results["engine"]["machine"]


def _accuracy(tasks: dict[str, Any]) -> list[str]:
    rows = []
    for name, task in tasks.items():
        cells = [
            _cell(task["shots"][shots][way])
            for shots in _MITIGATED
            for way in ("sampled", "raw", "mitigated")
        ]
        about = task["about"]
        said = (
            f"{about['rows']} | {about['ansatz']} | {about['two_qubit_gates']} | {100 * about['exact']:.1f}"
        )
        rows.append(f"| {name} | {said} | {' | '.join(cells)} |")
    return [
        "",
        "## Accuracy",
        "",
        "Percent of test rows, mean of the repetitions ± their standard deviation; corrections fitted anew "
        "in each.",
        "",
        "| task | rows | ansatz | CZs | exact | 1,024 shots, no errors | 1,024, as measured "
        "| 1,024, mitigated | 64, no errors | 64, as measured | 64, mitigated |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]


def _few_shots_table(tasks: dict[str, Any]) -> list[str]:
    rows = []
    for name, task in tasks.items():
        chosen = _for_few_shots(task)
        cells = [
            f"{_cell(one['mitigated'])} [{100 * one['exact']:.1f}]" + (" ←" if kind == chosen else "")
            for kind, one in task["few_shots"].items()
        ]
        plain = _cell(task["shots"]["8"]["mitigated"])
        cells.append(_stopped(task["few_shots_adaptive"]))
        rows.append(f"| {name} | {100 * _exact(task):.1f} | {plain} | {' | '.join(cells)} |")
    return [
        "",
        "## Few shots",
        "",
        "Accuracy at 8 shots, mitigated, of the student as it is, and of students trained with the noise of "
        "8 shots, with the chip's own besides, and with a circuit for few shots besides: bricks in one row "
        "(5 CZs), tanh encoding. In brackets their exact accuracy; ←: best at 8 shots on validation rows. "
        "Last, that student's mean shots, accuracy and agreement with itself exactly, where each text gets 2 "
        "shots, then as many again until they are expected to gain less than the smallest least gain that "
        "takes at most 8 in the mean on validation rows.",
        "",
        "| task | exact | as it is | trained for 8 shots | … on the chip | … with few gates | … adaptively |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def _adaptive(tasks: dict[str, Any]) -> list[str]:
    return [
        "",
        "## Adaptive shots",
        "",
        "Mean shots, accuracy, and agreement with the exact student in brackets, at most 1,024 shots. First "
        "by the least gain: a text is left alone when as many shots again are expected to gain less than so "
        "many points of accuracy per 1,000 shots.",
        *_columns(tasks, "least_gain", _stopped),
        "",
        "By the confidence at which a text's class is decided:",
        *_columns(tasks, "adaptive", _stopped),
        "",
        "Fixed shots, mitigated:",
        *_columns(tasks, "shots", _fixed),
    ]


def _columns(tasks: dict[str, Any], kind: str, cell: Callable[[Any], str]) -> list[str]:
    """Return a table with a line for each task and a column for each member of a kind."""
    names = [f"{float(name):g}" for name in next(iter(tasks.values()))[kind]]
    lines = [
        f"| {task} | {' | '.join(cell(one) for one in found[kind].values())} |"
        for task, found in tasks.items()
    ]
    return ["", f"| task | {' | '.join(names)} |", "|---|" + "---|" * len(names), *lines]


def _stopped(found: dict[str, float]) -> str:
    return f"{found['mean_shots']:.0f}: {100 * found['accuracy']:.1f} [{100 * found['agreement']:.1f}]"


def _fixed(found: dict[str, list[float]]) -> str:
    return f"{_cell(found['mitigated'])} [{100 * np.mean(found['agreement']):.1f}]"


def _drift(tasks: dict[str, Any]) -> list[str]:
    rows = []
    for name, task in tasks.items():
        cells = [_range(task["drift"][way]) for way in ("raw", "corrected_before", "corrected_anew")]
        rows.append(f"| {name} | {100 * _exact(task):.1f} | {' | '.join(cells)} |")
    return [
        "",
        "## Drift",
        "",
        "Accuracy at 1,024 shots, mean and range over chips whose every figure is off by a factor "
        "exp(N(0, 0.2²)): mitigated by what was found before the drift, and anew.",
        "",
        "| task | exact | as measured | corrected as before | corrected anew |",
        "|---|---|---|---|---|",
        *rows,
    ]


def _simulator(engine: dict[str, Any]) -> list[str]:
    speed, aer = engine["speed"]["cpu_seconds"], engine["aer"]
    return [
        "",
        "## The simulator",
        "",
        f"One circuit of {engine['speed']['shots']:,} independent shots, CPU seconds of one core: ours "
        f"{speed['ours']:.4f}, Aer's density matrix {speed['aer_density_matrix']:.2f}, Aer's trajectories "
        f"{speed['aer_trajectories']:.2f}. Largest z-score of {aer['values']} values: {aer['largest']:.1f}. "
        f"Taking relaxation as a Pauli channel moves ⟨Z⟩ by {aer['twirl_rmse']:.4f} (root mean square).",
    ]


def _cell(values: list[float]) -> str:
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def _range(values: list[float]) -> str:
    return f"{100 * np.mean(values):.1f} ({100 * min(values):.1f} to {100 * max(values):.1f})"


if __name__ == "__main__":
    main()
