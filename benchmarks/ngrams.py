"""The student without a transformer: its n-gram table beside MiniLM, in accuracy, bytes and texts a second.

    qdllm bench ngrams [--tasks reviews,topic] [--seeds 3] [--json] [--out FOLDER]

Both students learn from the same soft labels, labels and split, with the same settings to choose from by
mean accuracy on validation rows. Beside the n-gram student stand, on its own n-grams: logistic regression,
and itself without its circuit and without its entanglement. Times are CPU seconds of one thread, from text to
probabilities, nothing cached. Tasks as in `qdllm bench first-light`; those that the file in FOLDER holds
already, measured with the same settings, are not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from comparison import available_tasks
from first_light import load_task, percent
from numpy.typing import NDArray

from qdllm.compare import fit_logistic_regression, mean_interval, one_thread, paired_difference
from qdllm.compare.controls import NoCircuit, NoEntanglement
from qdllm.encoders import Encoder, NgramEncoder
from qdllm.files import folder_bytes, read_json, write_json, write_text
from qdllm.machine import describe_machine
from qdllm.pipeline.distill import fit_student, fit_with_encoder
from qdllm.pipeline.sources import Encoded, Texts, encode_texts, label_texts
from qdllm.student import Student, TextStudent

SETTINGS = tuple(
    {"encoding": encoding, "alpha": alpha} for encoding, alpha in product(("linear", "tanh"), (0.5, 0.2))
)
_SHARE, _SPEED, _BYTES = 0.95, 50, 2_000_000  # the bars
_TIMED = {"ngrams": 2048, "minilm": 128}  # texts
_ROUNDS = 3
_SCHEMA = {"name": "qdllm.ngrams", "version": 1}

Hits = NDArray[np.bool_]


def main() -> None:
    """Measure, print the page, and write ngrams.json and ngrams.md."""
    parser = argparse.ArgumentParser(prog="qdllm bench ngrams", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", default=",".join(available_tasks()), help="comma-separated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    results: dict[str, Any] = {
        "schema": _SCHEMA,
        "command": f"qdllm bench ngrams --seeds {options.seeds}",
        "machine": describe_machine("torch", "scikit-learn", "transformers"),
        "settings": list(SETTINGS),
        "tasks": {},
    }
    path = options.out / "ngrams.json"
    earlier = read_json(path) if path.is_file() else {}
    if all(earlier.get(name) == results[name] for name in ("schema", "command", "settings")):
        results["tasks"] = earlier["tasks"]
    for task in options.tasks.split(","):
        if task not in results["tasks"]:
            with one_thread():
                results["tasks"][task] = measure(task, options.seeds)
            write_json(path, results)
    write_text(options.out / "ngrams.md", as_markdown(results))
    print(json.dumps(results, indent=2) if options.json else as_markdown(results))


def measure(task: str, seeds: int) -> dict[str, Any]:
    """Train both students and the controls of one task, score them on the test rows and time them."""
    config, texts = load_task(task, "minilm")
    labels = label_texts(config, texts)
    assert labels is not None
    classes = np.array(labels.classes)
    soft = labels.align(texts.dataset.row_ids, labels.classes)
    minilm = encode_texts(config, texts)
    truth = np.array([str(label) for label in texts.dataset.labels or ()])

    def on_minilm(student: Student) -> Encoded:
        fit_student(student, minilm.x, texts, labels.classes, soft)
        return minilm

    def on_ngrams(student: Student) -> Encoded:
        return fit_with_encoder(student, texts, labels.classes, soft)

    models = {
        name: _choose(Student, fit, texts, truth, SETTINGS, seeds)
        for name, fit in (("minilm", on_minilm), ("ngrams", on_ngrams))
    }
    setting = models["ngrams"]["setting"]
    for name, control in (("no circuit", NoCircuit), ("no entanglement", NoEntanglement)):
        models[name] = _choose(control.estimator, on_ngrams, texts, truth, [setting], seeds)
    encoder = models["ngrams"]["encoded"].encoder
    models["logistic regression"] = _logistic_regression(encoder, texts, truth)
    models["teacher"] = {"hits": (classes[soft.argmax(axis=1)] == truth)[None]}

    test = texts.split.indices("test")
    costs = {name: _costs(models[name], name, texts) for name in ("ngrams", "minilm")}
    own = models["ngrams"]["hits"][:, test]
    share = own.mean() / models["minilm"]["hits"][:, test].mean()
    speed = costs["ngrams"]["texts_per_second"] / costs["minilm"]["texts_per_second"]
    return {
        "rows": {part: len(texts.split.indices(part)) for part in ("train", "validation", "test")},
        "classes": list(labels.classes),
        "characters": float(np.mean([len(text) for text in texts.dataset.texts])),
        "models": {name: _summary(model, own, texts) | costs.get(name, {}) for name, model in models.items()},
        "share_of_minilm": float(share),
        "times_as_fast": speed,
        "bars": {
            "accuracy": bool(share >= _SHARE),
            "speed": speed >= _SPEED,
            "bytes": costs["ngrams"]["bytes"] < _BYTES,
        },
    }


def _choose(
    kind: type[Student],
    fit: Callable[[Student], Encoded],
    texts: Texts,
    truth: NDArray[np.str_],
    settings: Any,
    seeds: int,
) -> dict[str, Any]:
    """Train every setting with every seed; keep the setting that is best on validation rows."""
    validation = texts.split.indices("validation")
    best: dict[str, Any] = {"validation": -1.0}
    for setting in settings:
        started = time.process_time()
        students = [kind(**setting, seed=seed) for seed in range(seeds)]
        encoded = [fit(student) for student in students]
        seconds = (time.process_time() - started) / seeds
        hits = np.stack([s.predict(e.x) == truth for s, e in zip(students, encoded, strict=True)])
        found = float(hits[:, validation].mean())
        if found > best["validation"]:
            best = {
                "validation": found,
                "setting": dict(setting),
                "hits": hits,
                "training_cpu_seconds": round(seconds, 1),
                "student": students[0],
                "encoded": encoded[0],
            }
    return best


def _logistic_regression(encoder: Encoder | None, texts: Texts, truth: NDArray[np.str_]) -> dict[str, Any]:
    assert isinstance(encoder, NgramEncoder)
    x = encoder.weighted_bags(texts.dataset.texts)
    rows = texts.split.indices("train", "validation")
    model = fit_logistic_regression(x[rows], truth[rows], texts.split.part[rows] == "validation")
    return {"hits": (model.predict(x) == truth)[None]}


def _costs(model: dict[str, Any], name: str, texts: Texts) -> dict[str, Any]:
    """Bytes of everything on disk, and texts a second from text to probabilities."""
    student, encoder = model["student"], model["encoded"].encoder
    whole = TextStudent(teacher=None, encoder=encoder, student=student)
    whole.student_, whole.encoder_ = student, encoder
    with TemporaryDirectory() as folder:
        whole.save_pretrained(Path(folder) / "student")
        saved = folder_bytes(folder)
    if name == "minilm":  # is saved by name
        saved += encoder.n_bytes
    sample = [texts.dataset.texts[i] for i in texts.split.indices("test")][: _TIMED[name]]

    def ask(some: Sequence[str]) -> None:
        student.predict_proba(encoder.encode(some, cached=False))

    ask(sample[:16])
    return {
        "bytes": saved,
        "parameters": student.parameter_counts()["trained"] + encoder.n_parameters,
        "texts_per_second": len(sample) / _cpu_seconds(lambda: ask(sample)),
        "microseconds_of_one_text": 1e6 * _cpu_seconds(lambda: ask(sample[:1])),
    }


def _cpu_seconds(call: Callable[[], object]) -> float:
    """CPU seconds of the fastest of some rounds, which other work on the machine disturbs little."""
    found = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        call()
        found.append(time.process_time() - started)
    return min(found)


def _summary(model: dict[str, Any], own: Hits, texts: Texts) -> dict[str, Any]:
    test = texts.split.indices("test")
    hits = model["hits"]
    per_seed = hits[:, test].mean(axis=1)
    return {
        "setting": model.get("setting"),
        "validation_accuracy": float(hits[:, texts.split.indices("validation")].mean()),
        "accuracy": asdict(mean_interval(hits[:, test])),
        "accuracy_std_over_seeds": float(per_seed.std(ddof=1)) if len(per_seed) > 1 else None,
        "ngrams_minus_this": asdict(paired_difference(own, hits[:, test])),
        "training_cpu_seconds": model.get("training_cpu_seconds"),
    }


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    machine, tasks = results["machine"], results["tasks"]
    met = {bar: all(found["bars"][bar] for found in tasks.values()) for bar in ("accuracy", "speed", "bytes")}
    low = min(found["share_of_minilm"] for found in tasks.values())
    slow = min(found["times_as_fast"] for found in tasks.values())
    large = max(found["models"]["ngrams"]["bytes"] for found in tasks.values())
    lines = [
        "# A student without a transformer",
        "",
        f"Made by `{results['command']}` on {machine['date']}: {machine['cpu']}, Python {machine['python']}, "
        f"torch {machine['torch']}, transformers {machine['transformers']}, qdllm {machine['qdllm']}.",
        "",
        "The student on an [n-gram table](../ideas/ngrams.md) beside the student on MiniLM: same soft "
        "labels, labels, split and settings, chosen on validation rows. What was tried is told there.",
        "",
        "| bar | worst task | |",
        "|---|---|---|",
        f"| {100 * _SHARE:.0f} % of the MiniLM student's accuracy | {100 * low:.1f} % "
        f"| {_met(met['accuracy'])} |",
        f"| {_SPEED} times its texts a second | {slow:,.0f} | {_met(met['speed'])} |",
        f"| the whole student under {_BYTES / 1e6:.0f} MB | {large / 1e6:.2f} MB | {_met(met['bytes'])} |",
        "",
        "| task | MiniLM | n-grams | n-grams − MiniLM, points | share | texts a second: MiniLM | n-grams "
        "| times | one text, µs: MiniLM | n-grams |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for task, found in tasks.items():
        ours, theirs = found["models"]["ngrams"], found["models"]["minilm"]
        lines.append(
            f"| {task} | {percent(theirs['accuracy'])} | {percent(ours['accuracy'])} "
            f"| {percent(theirs['ngrams_minus_this'], sign=True)} | {100 * found['share_of_minilm']:.1f} % "
            f"| {theirs['texts_per_second']:,.0f} | {ours['texts_per_second']:,.0f} "
            f"| {found['times_as_fast']:,.0f} | {theirs['microseconds_of_one_text']:,.0f} "
            f"| {ours['microseconds_of_one_text']:,.0f} |"
        )
    lines += [
        "",
        "Accuracy in percent on test rows, mean over seeds, in brackets the 95 % interval over rows. Times "
        "are CPU seconds of one thread, from text to probabilities.",
        "",
        "## What stands beside it",
        "",
        "On the same n-grams and with the same setting, in points: the n-gram student minus",
        "",
        "| task | setting chosen | ± seeds | logistic regression | no circuit | no entanglement | teacher |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, found in tasks.items():
        models = found["models"]
        setting = models["ngrams"]["setting"]
        cells = " | ".join(
            percent(models[name]["ngrams_minus_this"], sign=True)
            for name in ("logistic regression", "no circuit", "no entanglement", "teacher")
        )
        spread = 100 * (models["ngrams"]["accuracy_std_over_seeds"] or 0)
        lines.append(f"| {task} | {setting['encoding']}, α = {setting['alpha']} | {spread:.1f} | {cells} |")
    return "\n".join(lines) + "\n"


def _met(met: bool) -> str:
    return "met" if met else "missed"


if __name__ == "__main__":
    main()
