"""The benchmark of better students: its techniques beside independent references, resuming, and the page."""

import importlib.util
import json
import math
import sys
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from qdllm.circuits import Circuit, Gate, brick, compile_circuit, input_symbol, parameter, parse_observables
from qdllm.data import TextDataset
from qdllm.distill import Batch, DistillationLoss, TrainingOptions, train
from qdllm.errors import ConfigError, SavedModelError
from qdllm.pipeline import RunConfig, distill
from qdllm.pipeline.splits import make_task
from qdllm.search.training import fit_design
from qdllm.simulate.torch_engine import TorchEngine
from qdllm.student import StudentModel
from qdllm.teachers import SoftLabels

FOLDER = Path(__file__).parents[2] / "benchmarks"
RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("student_benchmark", FOLDER / "student.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("comparison", None)


@pytest.fixture
def techniques(bench):
    return sys.modules["_student.techniques"]


@pytest.fixture
def training(bench):
    return sys.modules["_student.training"]


@pytest.fixture
def natural(bench):
    return sys.modules["_student.natural"]


# ---------------------------------------------------------------- a run, from the command to the page


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run of a noisy task, whose teacher, from a file, is right nine times in ten."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    words = {"market": "shares profit bank oil price", "sport": "match team goal season player"}
    labels = [list(words)[i % 2] for i in range(160)]
    other = {"market": "sport", "sport": "market"}
    texts = [
        f"{' '.join(rng.choice(words[label].split(), 2))} {rng.choice(words[other[label]].split())} no {i}"
        for i, label in enumerate(labels)
    ]
    lines = ["text,label", *(f"{text},{label}" for text, label in zip(texts, labels, strict=True))]
    (folder / "small.csv").write_text("\n".join(lines) + "\n")
    right = np.where(rng.random(len(texts)) < 0.9, 0.8, 0.2)
    market = np.where(np.array(labels) == "market", right, 1 - right)
    teacher = SoftLabels(
        TextDataset.from_lists(texts).row_ids, ("market", "sport"), np.stack([market, 1 - market], axis=1)
    )
    teacher.write(folder / "teacher.parquet")
    config = {
        "data": {"path": str(folder / "small.csv")},
        "teacher": {"source": str(folder / "teacher.parquet")},
        "encoder": {"source": "tfidf"},
        "student": {"n_qubits": 3, "n_layers": 2, "epochs": 4, "weight_decay": 0.1, "dropout": 0.1},
    }
    distill(RunConfig.from_toml(None, config), folder / "small", quiet=True)
    return folder


def _call(bench, monkeypatch, runs, out, *words):
    options = ["--runs", runs, "--tasks", "small", "--splits", "2", "--out", out, *words]
    monkeypatch.setattr("sys.argv", ["student", *map(str, options)])
    bench.main()
    return json.loads((out / "student.json").read_text()), (out / "student.md").read_text()


@pytest.fixture
def judged(bench, monkeypatch):
    """The names of the variants that are trained."""
    names, judge = [], bench.judge

    def watched(variant, *rest):
        names.append(variant.name)
        return judge(variant, *rest)

    monkeypatch.setattr(bench, "judge", watched)
    return names


def test_from_the_command_to_the_page(bench, runs, tmp_path, monkeypatch):
    chosen = "n_layers=1,alpha=0.0,relational=10"
    results, page = _call(bench, monkeypatch, runs, tmp_path, "--only", chosen)
    found = results["tasks"]["small"]["variants"]
    assert list(found) == ["baseline", "n_layers=1", "alpha=0.0", "relational=10"]
    gains = np.subtract(found["n_layers=1"]["accuracy"], found["baseline"]["accuracy"])
    assert found["n_layers=1"]["difference"] == pytest.approx(gains.mean())
    assert found["n_layers=1"]["n_trained"] == found["baseline"]["n_trained"] - 16
    assert found["relational=10"]["n_trained"] == found["baseline"]["n_trained"]
    assert found["relational=10"]["loss"] != found["baseline"]["loss"]
    assert "**small.** The baseline has" in page
    assert page.index("|  | baseline |") < page.index("| circuit | `n_layers=1` |")
    assert "Not measured: `encoding=tanh`" in page
    assert "`encoding=linear`" not in page  # the run's own


def test_what_was_measured_is_kept_and_what_is_missing_is_trained(bench, judged, runs, tmp_path, monkeypatch):
    first, _ = _call(bench, monkeypatch, runs, tmp_path, "--only", "n_layers=1")
    more, _ = _call(bench, monkeypatch, runs, tmp_path, "--only", "n_layers=1,alpha=1.0")
    assert judged == ["baseline", "n_layers=1", "alpha=1.0"]
    assert more["tasks"]["small"]["variants"].items() >= first["tasks"]["small"]["variants"].items()
    _call(bench, monkeypatch, runs, tmp_path, "--only", "n_layers=1", "--seed", "1")
    assert judged[3:] == ["baseline", "n_layers=1"]
    config = json.loads((tmp_path / "student.json").read_text())
    config["tasks"]["small"]["config"]["student"]["alpha"] = 0.2  # figures of another run
    (tmp_path / "student.json").write_text(json.dumps(config))
    _call(bench, monkeypatch, runs, tmp_path, "--only", "n_layers=1", "--seed", "1")
    assert judged[5:] == ["baseline", "n_layers=1"]


def test_an_interrupted_call_keeps_what_it_finished(bench, runs, tmp_path, monkeypatch):
    judge = bench.judge

    def stopped(variant, *rest):
        if variant.name == "alpha=1.0":
            raise KeyboardInterrupt
        return judge(variant, *rest)

    monkeypatch.setattr(bench, "judge", stopped)
    with pytest.raises(KeyboardInterrupt):
        _call(bench, monkeypatch, runs, tmp_path, "--only", "n_layers=1,alpha=1.0")
    kept = json.loads((tmp_path / "student.json").read_text())
    assert list(kept["tasks"]["small"]["variants"]) == ["baseline", "n_layers=1"]


def test_figures_are_of_validation_rows_and_test_rows_change_nothing(bench, runs, tmp_path, monkeypatch):
    def spoiled(run, number):
        task = make_task(run, number)
        test = task.part == "test"
        task.rows.x[test] = np.nan
        task.truth[test] = 1 - task.truth[test]
        return task

    monkeypatch.setattr(bench, "make_task", spoiled)
    results, _ = _call(bench, monkeypatch, runs, tmp_path, "--only", "mixup=1")
    task = results["tasks"]["small"]
    run = bench.RunFolder(runs / "small")
    parameters = RunConfig.from_toml(run.config, {}).student.parameters()
    expected = []
    for number in (0, 1):
        lesson = make_task(run, number).lesson
        student = fit_design(lesson, parameters, seed=number)
        expected.append(float((student.predict(lesson.validation.x) == lesson.validation.y).mean()))
    assert task["variants"]["baseline"]["accuracy"] == expected
    assert task["rows"]["validation"] == len(lesson.validation)
    assert np.isfinite(task["variants"]["mixup=1"]["loss"]).all()


def test_a_variant_that_cannot_be_trained_is_named(bench, runs, tmp_path, monkeypatch):
    wild = bench.Variant("wild", "optimiser", {"learning_rate": 1e30})
    monkeypatch.setattr(bench, "VARIANTS", (wild,))
    results, page = _call(bench, monkeypatch, runs, tmp_path)
    assert "no longer finite" in results["tasks"]["small"]["variants"]["wild"]["failed"]
    assert "Could not be trained: `wild`." in page


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--only", "magic"], ConfigError, "no variant 'magic'; there are encoding=linear, "),
        (["--splits", "1"], ConfigError, "splits is 1: a difference needs at least 2"),
        (["--seed", "-1"], ConfigError, "seed is -1"),
        (["--tasks", "weather"], SavedModelError, "not a finished run"),
    ],
)
def test_bad_input_is_one_line(bench, runs, tmp_path, monkeypatch, words, error, message):
    with pytest.raises(error, match=message) as raised:
        _call(bench, monkeypatch, runs, tmp_path, *words)
    assert raised.value.exit_status == 2
    assert "\n" not in str(raised.value)


def test_a_folder_without_runs_is_refused(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["student", "--runs", str(tmp_path)])
    with pytest.raises(ConfigError, match="holds no run"):
        bench.main()


def test_the_verdict_tells_gains_and_harm_from_noise(bench):
    def entry(difference, p):
        return {"difference": difference, "low": difference - 0.01, "high": difference + 0.01, "p": p}

    found = {
        "baseline": {"accuracy": [0.8, 0.82]},
        "a": entry(0.02, 0.01),
        "b": entry(0.03, 0.2),
        "c": entry(-0.05, 0.001),
        "d": {"failed": "the loss is no longer finite"},
    }
    said = sys.modules["_student.page"].verdict({"variants": found})
    assert said == (
        "The baseline has 81.0 %. Of 3 variants 1 (`a` +2.0 [+1.0, +3.0]) helped by more than noise; 1 (`c` "
        "-5.0 [-6.0, -4.0]) harmed; the other 1 differ by no more than noise. Could not be trained: `d`."
    )


def test_the_published_page_is_what_the_published_numbers_say(bench):
    results = json.loads((RESULTS / "student.json").read_text())
    assert bench.as_page(results) == (RESULTS / "student.md").read_text(encoding="utf-8")


# ---------------------------------------------------------------- the techniques


@pytest.fixture
def rows():
    """Twenty rows of three classes, the last without a label."""
    rng = np.random.default_rng(1)
    labels = torch.as_tensor(rng.integers(0, 3, 20))
    labels[-1] = -1
    soft = torch.as_tensor(rng.dirichlet(np.ones(3), 20), dtype=torch.float32)
    return Batch(torch.as_tensor(rng.normal(size=(20, 5)), dtype=torch.float32), labels, soft)


OPTIONS = TrainingOptions(epochs=3, batch_size=8, dropout=0.3, circuit_decay=1.0, seed=4)
LOSS = DistillationLoss()


def _model():
    return StudentModel(5, 3, brick(3, 2), "linear", "z", seed=2, noise={"shots": 32})


def _began(technique, model, rows, loss=LOSS):
    technique.base, technique.options = loss, OPTIONS
    technique.begin(model, rows)
    return technique


def test_without_a_technique_it_trains_as_the_package_does(training, rows):
    ours, theirs = _model(), _model()
    history = training.train_with(training.Technique(), ours, rows, rows, LOSS, OPTIONS)
    assert history == train(theirs, rows, rows, LOSS, OPTIONS, quiet=True)
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)


def test_relational_loss_is_that_of_all_pairs(techniques, rows):
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    teacher = rows.soft_labels[:6].log()

    def relative(points):
        far = [math.dist(points[i].tolist(), points[j].tolist()) for i, j in combinations(range(6), 2)]
        return [d / (sum(far) / len(far)) for d in far]

    gaps = [abs(a - b) for a, b in zip(relative(z), relative(teacher), strict=True)]
    huber = [gap**2 / 2 if gap < 1 else gap - 0.5 for gap in gaps]
    assert techniques.relational_loss(z, teacher).item() == pytest.approx(sum(huber) / len(huber), rel=1e-5)
    assert techniques.relational_loss(z[:1], teacher[:1]) == 0
    assert techniques.relational_loss(3 * z, z).item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("target", ["features", "teacher"])
def test_a_hint_is_the_share_of_variance_left_unexplained(techniques, training, rows, target):
    model = _model().eval()
    hint = _began(techniques.Hint(target, 2.0), model, rows)
    known = rows.x.numpy() if target == "features" else rows.soft_labels.log().numpy()
    if target == "teacher":
        known = known - known.mean(axis=1, keepdims=True)
    z, logits = training.outputs(model, rows.x)
    design = np.column_stack([z.detach().numpy(), np.ones(len(z))])
    fitted, *_ = np.linalg.lstsq(design, known, rcond=None)
    with torch.no_grad():
        hint.map.weight.copy_(torch.as_tensor(fitted[:-1].T))
        hint.map.bias.copy_(torch.as_tensor(fitted[-1]))
    unexplained = ((design @ fitted - known) ** 2).mean() / known.var(axis=0, ddof=1).mean()
    own = LOSS(logits, rows.labels, rows.soft_labels).item()
    assert 0 < unexplained < 1
    assert hint.loss(model, rows.x, rows, 0.0).item() == pytest.approx(own + 2 * unexplained, rel=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_mixup_mixes_features_and_targets(techniques, rows, alpha):
    rows = rows.take(slice(0, 19))  # all with a label
    loss = DistillationLoss(alpha)
    model = _model().eval()
    mixup = _began(techniques.Mixup(1.0), model, rows, loss)
    order = np.roll(np.arange(19), 3)
    mixup.rng = SimpleNamespace(beta=lambda a, b: 0.3 * a * b, permutation=lambda n: order)
    found = mixup.loss(model, rows.x, rows, 0.0).item()
    logits = model(0.3 * rows.x + 0.7 * rows.x[order])
    if alpha == 0.0:
        hot = functional.one_hot(rows.labels, 3).float()
        expected = functional.cross_entropy(logits, 0.3 * hot + 0.7 * hot[order])
    else:
        soft = 0.3 * rows.soft_labels + 0.7 * rows.soft_labels[order]
        expected = loss(logits, rows.labels, soft)
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_the_average_of_weights_is_judged_and_the_trained_ones_come_back(techniques, rows):
    model = _model()
    average = _began(techniques.Average(0.25), model, rows)
    visited = [model.theta.detach().clone()]

    def move():
        with torch.no_grad():
            model.theta.add_(1.0)
        visited.append(model.theta.detach().clone())

    for _ in range(4):
        average.step(model, SimpleNamespace(step=move), rows.x)
    expected = visited[0]
    for kept, value in zip((1 / 10, 2 / 11, 3 / 12, 0.25), visited[1:], strict=True):
        expected = kept * expected + (1 - kept) * value
    with average.judged(model):
        assert model.theta.detach() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(model.theta, visited[-1])


@pytest.mark.parametrize("rank", [1, 2])
def test_a_projection_of_low_rank_is_the_nearest_one_after_every_step(techniques, rows, rank):
    model = _model()
    low = _began(techniques.LowRank(rank), model, rows)
    assert np.linalg.matrix_rank(model.projection.weight.detach().numpy(), tol=1e-5) == rank
    moved = torch.randn_like(model.projection.weight)

    def move():
        with torch.no_grad():
            model.projection.weight.copy_(moved)

    low.step(model, SimpleNamespace(step=move), rows.x)
    kept = model.projection.weight.detach().numpy()
    assert np.linalg.matrix_rank(kept, tol=1e-5) == rank
    values = np.linalg.svd(
        moved.numpy(), compute_uv=False
    )  # Eckart and Young: what is lost is the rest of these
    assert np.linalg.norm(moved.numpy() - kept) == pytest.approx(np.linalg.norm(values[rank:]), rel=1e-4)


def test_a_schedule_goes_evenly_from_start_to_end(techniques, rows):
    schedule = _began(techniques.Schedule(alpha=(1.0, 0.0), temperature=(4.0, 1.0)), _model(), rows)
    assert [schedule.at(share) for share in (0.0, 0.5, 1.0)] == [
        DistillationLoss(1.0, 4.0),
        DistillationLoss(0.5, 2.5),
        DistillationLoss(0.0, 1.0),
    ]
    alone = _began(techniques.Schedule(temperature=(4.0, 1.0)), _model(), rows)
    assert alone.at(1.0) == DistillationLoss(LOSS.alpha, 1.0)


def test_angles_begin_all_over_the_circle(techniques, rows):
    model = StudentModel(5, 3, brick(8, 20), "linear", "z", seed=2)
    _began(techniques.UniformAngles(), model, rows)
    assert -math.pi < model.theta.min() < -3 < 3 < model.theta.max() < math.pi


# ---------------------------------------------------------------- the quantum natural gradient

# torch's own forward-mode derivatives still import it.
FORWARD_MODE = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


@FORWARD_MODE
def test_the_metric_of_one_qubit_is_that_of_the_sphere(natural):
    gates = [
        Gate("RX", (0,), (input_symbol("x_0"),)),
        Gate("RY", (0,), (parameter("polar"),)),
        Gate("RZ", (0,), (parameter("azimuth"),)),
    ]
    circuit = Circuit(1, gates, name="sphere")
    engine = TorchEngine(compile_circuit(circuit, parse_observables(["X", "Y", "Z"], 1)))
    metric = natural.fubini_study(engine, torch.zeros(1, 1), torch.tensor([0.7, 0.4]))
    expected = np.diag([1, math.sin(0.7) ** 2]) / 4
    assert metric.numpy() == pytest.approx(expected, abs=1e-6)


PAULI = {
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


def _dense_state(circuit, values):
    """The state by matrices of 2^n: independent of the engine."""
    state = np.eye(2**circuit.n_qubits)[0].astype(complex)
    for gate in circuit.gates:
        word = np.eye(1)
        for q in reversed(range(circuit.n_qubits)):
            letters = dict(zip(gate.qubits, gate.name[1:], strict=True))
            word = np.kron(word, PAULI[letters[q]] if q in letters else np.eye(2))
        half = values[str(gate.angles[0])] / 2
        state = math.cos(half) * state - 1j * math.sin(half) * (word @ state)
    return state


@FORWARD_MODE
def test_the_metric_is_how_fast_fidelity_falls(natural):
    circuit = brick(3, 2)
    rng = np.random.default_rng(3)
    inputs, angles = rng.uniform(0, 3, (2, 3)), rng.uniform(-2, 2, circuit.n_parameters)
    engine = TorchEngine(compile_circuit(circuit))
    metric = natural.fubini_study(engine, torch.as_tensor(inputs), torch.as_tensor(angles)).numpy()

    def state(x, theta):
        names = [*circuit.input_names, *circuit.parameter_names]
        return _dense_state(circuit, dict(zip(names, [*x, *theta], strict=True)))

    step = 1e-3
    for direction in rng.normal(size=(4, len(angles))):
        lost = [
            1 - abs(np.vdot(state(x, angles - step * direction), state(x, angles + step * direction))) ** 2
            for x in inputs
        ]
        assert np.mean(lost) / (2 * step) ** 2 == pytest.approx(direction @ metric @ direction, rel=1e-4)


def _step(technique, rows):
    """One step of a technique: the angles and their gradient before it, and the angles after it."""
    model = _model().eval()
    _began(technique, model, rows)
    with torch.no_grad():
        model.theta.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    before = model.theta.detach().clone()
    technique.loss(model, rows.x, rows, 0.0).backward()
    gradient = model.theta.grad.clone()
    weights = model.projection.weight.detach().clone()
    optimizer = torch.optim.AdamW(model.parameters(), lr=OPTIONS.learning_rate / 2)
    technique.step(model, optimizer, rows.x)
    assert not torch.equal(model.projection.weight, weights)
    kept = (1 - optimizer.param_groups[0]["lr"] * OPTIONS.circuit_decay) * before
    return model, before, gradient, model.theta.detach() - kept


def test_gradient_descent_goes_down_the_gradient(natural, rows):
    _, _, gradient, moved = _step(natural.GradientDescent(0.2), rows)
    assert moved.numpy() == pytest.approx((-0.1 * gradient / 0.25).numpy(), abs=1e-6)


@FORWARD_MODE
def test_the_natural_gradient_solves_the_metric(natural, rows, monkeypatch):
    asked, measure = [], natural.fubini_study
    monkeypatch.setattr(natural, "fubini_study", lambda *given: asked.append(given[1:]) or measure(*given))
    technique = natural.NaturalGradient(0.2, damping=0.05, every=2, rows=3)
    model, before, gradient, moved = _step(technique, rows)
    (inputs, _), engine = asked[0], TorchEngine(compile_circuit(model.circuit))
    assert len(inputs) == 3
    metric = measure(engine, inputs, before).numpy() + 0.05 * np.eye(len(before))
    assert moved.numpy() == pytest.approx(
        -0.1 * np.linalg.solve(metric, gradient.numpy()), rel=1e-2, abs=1e-4
    )
    for _ in range(2):
        technique.direction(model, gradient, rows.x)
    assert len(asked) == 2  # anew in every second step
