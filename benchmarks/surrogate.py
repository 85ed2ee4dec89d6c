"""Compiled students: what is proven of them, how small and how fast they are, and whether exports agree.

    qdllm bench surrogate --runs FOLDER [--tasks topic,hiding] [--max-error 0.01] [--json] [--out FOLDER]

FOLDER holds a run a task, as `qdllm bench comparison --work FOLDER` leaves them: its student is compiled, and
beside it the paper's own design (angles scaled by minmax), trained here on the run's features and labels, as
it is, and once more while its circuit's angles decay. Everything is looked at on the run's test rows. Times
are CPU seconds of one thread, ours and theirs in turn. Tasks that the file in --out holds already, measured
with the same settings, are not measured again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from _circuit.timing import Timing, time_call
from comparison import finished_runs
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from qdllm.cli.printing import errors_in_one_line
from qdllm.compare import one_thread
from qdllm.compare.controls import PaperDesign
from qdllm.encoders import Features, TransformerEncoder, load_encoder
from qdllm.errors import ConfigError
from qdllm.files import read_json, write_json, write_text
from qdllm.machine import describe_machine
from qdllm.models import hidden_states
from qdllm.models import load_encoder as load_transformer
from qdllm.pipeline import RunFolder
from qdllm.pipeline.splits import make_task
from qdllm.student import Student
from qdllm.surrogate import Surrogate, check_surrogate, compile_student
from qdllm.surrogate.exports import text_to_onnx, to_c, to_onnx, write_npz
from qdllm.surrogate.text import ENCODER_FOLDER
from qdllm.teachers import SoftLabels

_SCHEMA = {"name": "qdllm.bench-surrogate", "version": 2}
_BATCHES = (1, 4096)
_ROUNDS, _SECONDS, _READINGS = 5, 0.1, 3
_EXPORTED = 200  # rows that exports are compared on
_TEXTS = 64  # that the graph with the encoder in it is asked about
_DECAY = 2.0  # of the angles of the paper's circuit; it makes a small formula
_STUDENTS = {
    "student": "its student",
    "paper": "the paper’s design",
    "paper, decaying": "the paper’s design, its angles decaying",
}
_MAIN = """#include <stdio.h>
#include "student.h"
int main(void) {
    float features[QDLLM_FEATURES];
    double logits[QDLLM_CLASSES];
    while (fread(features, sizeof *features, QDLLM_FEATURES, stdin) == QDLLM_FEATURES) {
        qdllm_logits(features, logits);
        fwrite(logits, sizeof *logits, QDLLM_CLASSES, stdout);
    }
    return 0;
}
"""


def main() -> None:
    """Measure, print the page, and write surrogate.json and surrogate.md."""
    parser = argparse.ArgumentParser(
        prog="qdllm bench surrogate", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--runs", type=Path, required=True, help="a folder with a run a task")
    parser.add_argument("--tasks", help="comma-separated; all runs of the folder unless given")
    parser.add_argument("--max-error", type=float, default=0.01)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    results: dict[str, Any] = {
        "schema": _SCHEMA,
        "command": f"qdllm bench surrogate --max-error {options.max_error}",
        "machine": describe_machine("numpy", "scikit-learn", "torch"),
        "max_error": options.max_error,
        "students": {},
    }
    path = options.out / "surrogate.json"
    earlier = read_json(path) if path.is_file() else {}
    if all(earlier.get(name) == results[name] for name in ("schema", "command")):
        results["students"] = earlier["students"]
    with errors_in_one_line():
        for task in options.tasks.split(",") if options.tasks else finished_runs(options.runs):
            if task not in results["students"]:
                with one_thread():
                    results["students"][task] = measure(RunFolder(options.runs / task), options.max_error)
                write_json(path, results)
    write_text(options.out / "surrogate.md", as_markdown(results))
    print(json.dumps(results, indent=2) if options.json else as_markdown(results))


def measure(run: RunFolder, max_error: float) -> dict[str, Any]:
    """Measure the student of a run, and the paper's design on the same rows."""
    split = pq.read_table(run.split).to_pydict()
    x = Features.read(run.features).align(split["row_id"])
    part = np.array(split["part"])
    students = {"student": Student.from_pretrained(run.student)}
    classes = students["student"].classes_.astype(str)
    truth = np.array([label or "" for label in split["label"]])
    soft = SoftLabels.read(run.labels).align(split["row_id"], classes.tolist())
    rest = part != "test"
    for name, decay in (("paper", 0.0), ("paper, decaying", _DECAY)):
        students[name] = Student(**{**PaperDesign.design, "circuit_decay": decay}).fit(
            x[rest],
            truth[rest],
            soft_labels=soft[rest],
            labelled=np.array(split["labelled"])[rest],
            validation=(part == "validation")[rest],
            classes=classes,
        )
    # Only its speed is measured; little data and strong regularisation spare its training.
    regression = LogisticRegression(C=1e-3, max_iter=1000).fit(
        x[:1000], students["student"].predict(x[:1000])
    )
    found = {}
    for name, student in students.items():
        found[name] = _measure_one(student, x, x[part == "test"], max_error, regression)
        hits = student.predict(x[part == "test"]).astype(str) == truth[part == "test"]
        found[name]["accuracy"] = float(hits.mean())
    encoder = load_encoder(run.student / ENCODER_FOLDER)
    if isinstance(encoder, TransformerEncoder) and encoder.layer is None:
        rows = make_task(run, 0)
        texts = [rows.rows.texts[row] for row in np.flatnonzero(rows.part == "test")[:_TEXTS]]
        exports = found["student"]["exports"]
        exports["onnx, the encoder in it"] = _with_encoder(students["student"], encoder, texts, max_error)
    return found


def _measure_one(
    student: Student,
    x: NDArray[np.float32],
    test: NDArray[np.float32],
    max_error: float,
    regression: LogisticRegression,
) -> dict[str, Any]:
    started = time.process_time()
    surrogate = compile_student(student, max_error)
    seconds = time.process_time() - started
    surrogate = check_surrogate(surrogate, student, test)
    with TemporaryDirectory() as folder:
        surrogate.save_pretrained(folder + "/saved")
        config = read_json(folder + "/saved/config.json")
    rows = np.resize(x, (max(_BATCHES), x.shape[1]))
    return {
        "design": {key: student.get_params()[key] for key in ("ansatz", "n_qubits", "n_layers", "encoding")},
        "seconds": seconds,
        "form": config["form"],
        "precision": config["precision"],
        "size": config["size"],
        "bytes": config["bytes"],
        "projection_bytes": config["projection_bytes"],
        "certificate": config["certificate"],
        "angles": {str(n): _from_angles(surrogate, student, rows[:n]) for n in _BATCHES},
        "features": {str(n): _from_features(surrogate, regression, rows[:n]) for n in _BATCHES},
        "exports": _exports(surrogate, test[:_EXPORTED]),
    }


def _from_angles(surrogate: Surrogate, student: Student, rows: NDArray[np.float32]) -> dict[str, float]:
    angles = surrogate.angles(rows)
    model = student.model_
    inputs, theta = torch.as_tensor(angles), model.theta.detach().float()

    def simulate() -> None:
        with torch.no_grad():
            model.simulator(inputs, theta)

    return _ratio(lambda: surrogate.logits(angles), simulate)


def _from_features(
    surrogate: Surrogate, regression: LogisticRegression, rows: NDArray[np.float32]
) -> dict[str, float]:
    return _ratio(lambda: surrogate.predict(rows), lambda: regression.predict(rows))


def _ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> dict[str, float]:
    """Time both in turn; microseconds of a call, and how many times as fast ours is."""
    one, two = Timing(), Timing()
    for _ in range(_ROUNDS):
        one += time_call(ours, _SECONDS, _READINGS)
        two += time_call(theirs, _SECONDS, _READINGS)
    found = [1e3 * timing.as_dict()["cpu_ms"] for timing in (one, two)]
    return {"ours_us": found[0], "theirs_us": found[1], "times_as_fast": found[1] / found[0]}


def _exports(surrogate: Surrogate, rows: NDArray[np.float32]) -> dict[str, float | None]:
    """Return the largest difference of a logit, by format; None where its tool is missing."""
    exact = surrogate.decision_logits(rows.astype(np.float64))
    found: dict[str, float | None] = {"numpy": None, "c": None, "onnx": None}
    with TemporaryDirectory() as name:
        folder = Path(name)
        script = write_npz(surrogate, folder / "student.npz")
        names: dict[str, Any] = {"__name__": "student"}
        exec(compile(script.read_text(), script.name, "exec"), names)
        logits = names["logits"](dict(np.load(folder / "student.npz")), rows)
        found["numpy"] = float(np.abs(logits - exact).max())
        if shutil.which("cc"):
            (folder / "student.h").write_text(to_c(surrogate), encoding="utf-8")
            (folder / "main.c").write_text(_MAIN)
            flags = ("-std=c99", "-O2", "-Wall", "-Werror")
            subprocess.run(["cc", *flags, "main.c", "-o", "main", "-lm"], cwd=folder, check=True)
            ran = subprocess.run(
                [str(folder / "main")], input=rows.tobytes(), stdout=subprocess.PIPE, check=True
            )
            found["c"] = float(np.abs(np.frombuffer(ran.stdout).reshape(exact.shape) - exact).max())
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return found
    session = onnxruntime.InferenceSession(to_onnx(surrogate).SerializeToString())
    (logits,) = session.run(["logits"], {"features": rows})
    found["onnx"] = float(np.abs(logits - exact).max())
    return found


def _with_encoder(
    student: Student, encoder: TransformerEncoder, texts: list[str], max_error: float
) -> float | None:
    """Return the largest difference of a logit of the graph from token ids; None where its tools are missing.

    Features to compare with are in single precision, as the graph is.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - the exporter needs it
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        return None
    surrogate = compile_student(student, max_error)
    tokenizer = Tokenizer.from_file(str(encoder.tokenizer_file))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(encoder.recipe.max_tokens)
    encoded = tokenizer.encode_batch(texts)
    session = onnxruntime.InferenceSession(text_to_onnx(surrogate, encoder).SerializeToString())
    given = {
        "input_ids": np.array([one.ids for one in encoded]),
        "attention_mask": np.array([one.attention_mask for one in encoded]),
    }
    (logits,) = session.run(["logits"], given)
    model, own_tokenizer = load_transformer(encoder.source, dtype=torch.float32)
    last = model.config.num_hidden_layers
    x = hidden_states(model, own_tokenizer, texts, [last], encoder.recipe.pooling)
    features = np.asarray(x, dtype=np.float64).reshape(len(texts), -1)
    if encoder.recipe.normalize:
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    return float(np.abs(logits - surrogate.decision_logits(features)).max())


def _bars(found: dict[str, Any], max_error: float) -> dict[str, tuple[str, bool]]:
    """Return each bar as what was measured and whether it is met."""
    check, size = found["certificate"]["check"], found["size"]
    angles, features = found["angles"], found["features"]
    slower = {n: 1 / features[n]["times_as_fast"] for n in features}
    differences = [value for value in found["exports"].values() if value is not None]
    return {
        "agreement ≥ 99.9 %": (f"{100 * check['agreement']:.2f} %", check["agreement"] >= 0.999),
        f"certificate ≤ {max_error}": (
            f"{found['certificate']['max_error']:.4f}",
            found["certificate"]["max_error"] <= max_error,
        ),
        "≤ 500 terms": (_size(found), size.get("terms", 0) <= 500),
        "≤ 16 kB": (f"{found['bytes']:,}", found["bytes"] <= 16_000),
        "simulator, one text: ≥ 3 ×": (
            f"{angles['1']['times_as_fast']:.0f}",
            angles["1"]["times_as_fast"] >= 3,
        ),
        "simulator, 4,096: ≥ 10 ×": (
            f"{angles['4096']['times_as_fast']:.0f}",
            angles["4096"]["times_as_fast"] >= 10,
        ),
        "regression, one text: ≤ 3 × slower": (f"{slower['1']:.2f}", slower["1"] <= 3),
        "regression, 4,096: ≤ 3 × slower": (f"{slower['4096']:.2f}", slower["4096"] <= 3),
        "exports within 1e-4": (f"{max(differences):.1e}", max(differences) <= 1e-4),
    }


def _size(found: dict[str, Any]) -> str:
    if found["form"] == "sparse":
        return f"{found['size']['terms']:,}"
    return f"train of {found['size']['numbers']:,} numbers, rank {found['size']['rank']}"


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    machine, max_error = results["machine"], results["max_error"]
    rows = [
        (f"{task}, {_STUDENTS[name]}", found)
        for task, students in results["students"].items()
        for name, found in students.items()
    ]
    if not rows:
        raise ConfigError("no students measured: name --tasks that the folder of --runs holds")
    bars = [(name, _bars(found, max_error)) for name, found in rows]
    titles = list(bars[0][1])
    lines = [
        "# Compiled students",
        "",
        f"Made by `{results['command']}` on {machine['date']}: {machine['cpu']}, "
        f"Python {machine['python']}, NumPy {machine['numpy']}, scikit-learn {machine['scikit-learn']}, "
        f"qdllm {machine['qdllm']}; seed 0.",
        "",
        f"Each student is [compiled](../ideas/surrogate.md) within {max_error}: no logit is further from its "
        "own at any angles. It is looked at on the test rows. **Bold** misses its bar.",
        "",
        f"| student | {' | '.join(titles)} |",
        "|---" * (len(titles) + 1) + "|",
    ]
    for name, found in bars:
        cells = [text if met else f"**{text}**" for text, met in found.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    met = sum(met for _, found in bars for _, met in found.values())
    lines += [
        "",
        f"{met} of {len(bars) * len(titles)} bars are met. Beside the simulator: how many times as fast the "
        "formula is, from angles to logits through the public call; beside scikit-learn's logistic "
        "regression: how many times as slow, from features to classes. A tensor train has no "
        "terms to count. Bytes are those of the formula's file.",
        "",
        "| student | design | test accuracy | texts | largest error seen | provably unchanged "
        "| projection, bytes | to compile, CPU s | one text, µs: formula | simulator "
        "| 4,096 texts, ms: formula | simulator |",
        "|---" * 12 + "|",
    ]
    for name, found in rows:
        check, design, one, many = (
            found["certificate"]["check"],
            found["design"],
            found["angles"]["1"],
            found["angles"]["4096"],
        )
        cells = [
            name,
            f"{design['ansatz']}, {design['n_qubits']} qubits, {design['encoding']}",
            f"{100 * found['accuracy']:.1f} %",
            f"{check['rows']:,}",
            f"{check['max_error']:.4f}",
            f"{100 * check['certified']:.1f} %",
            f"{found['projection_bytes']:,}",
            f"{found['seconds']:.0f}",
            f"{one['ours_us']:.1f}",
            f"{one['theirs_us']:.0f}",
            f"{many['ours_us'] / 1e3:.2f}",
            f"{many['theirs_us'] / 1e3:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
