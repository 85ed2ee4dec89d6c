import copy
import importlib.util
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from qdllm.devices import (
    Calibration,
    Coupler,
    best_path,
    check_path,
    expected_fidelity,
    load_calibration,
    lower,
)
from qdllm.errors import CircuitError, ConfigError
from qdllm.simulate import NoiseModel

from .small_chips import bound_student, line


@pytest.fixture(scope="module")
def baihua():
    return load_calibration("baihua")


def test_baihua_is_what_its_script_makes_and_says_that_it_is_reconstructed(baihua):
    path = Path(__file__).parents[2] / "benchmarks" / "_chips" / "baihua.py"
    spec = importlib.util.spec_from_file_location("baihua", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.reconstruct() == baihua
    assert not baihua.measured
    assert "reconstructed, not measured" in baihua.source


def test_baihua_has_the_published_figures(baihua):
    assert (len(baihua.qubits), len(baihua.couplers)) == (156, 182)
    assert (baihua.one_qubit_ns, baihua.two_qubit_ns) == (64, 224)
    fidelities = np.array([c.fidelity for c in baihua.couplers])
    assert fidelities[fidelities > 0].min() >= 0.877
    assert fidelities.max() <= 0.999
    qubits = baihua.qubits.values()
    assert np.median([q.t1_us for q in qubits]) == pytest.approx(71.5, rel=0.1)
    assert np.median([q.t2_us for q in qubits]) == pytest.approx(23.7, rel=0.1)
    assert 1 - np.median(fidelities[fidelities > 0]) == pytest.approx(1.7e-2, rel=0.15)


def test_a_calibration_survives_saving(baihua, tmp_path):
    baihua.save(tmp_path / "chip.json")
    loaded = load_calibration(tmp_path / "chip.json")
    assert loaded == baihua
    assert loaded.id == baihua.id != baihua.drifted(0.1, 0).id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("date"), "date is missing"),
        (lambda c: c.pop("qubits"), "qubits is missing"),
        (lambda c: c["qubits"][4].pop("t1_us"), "qubit 4: t1_us is None"),
        (lambda c: c["qubits"][4].update(read_0_as_1="?"), r"qubit 4: read_0_as_1 is '\?'"),
        (lambda c: c["couplers"][0].pop("fidelity"), "coupler 0-1: fidelity is None"),
        (lambda c: c["couplers"][0].update(qubits=[0, 999]), "two qubits of the calibration"),
        (lambda c: c.pop("schema"), "not a calibration"),
        (lambda c: c["qubits"][4].update(index=float("inf")), "index is inf"),
        (lambda c: c["qubits"][4].update(t1_us=float("nan")), "qubit 4: t1_us is nan"),
        (lambda c: c["couplers"][0].update(qubits=[[0], 1]), "two qubits of the calibration"),
    ],
)
def test_missing_and_wrong_fields_are_named(baihua, change, message):
    content = copy.deepcopy(baihua.to_dict())
    change(content)
    with pytest.raises(ConfigError, match=message):
        Calibration.from_dict(content, "chip.json")


def test_a_coupler_worse_than_none_is_never_used_however_the_chip_drifts():
    chip = line(3, fidelity=[0.99, 0.1])
    assert set(chip.usable()) == {(0, 1)}
    assert all(set(chip.drifted(1.0, seed).usable()) <= {(0, 1)} for seed in range(20))


def test_an_unknown_calibration_is_refused():
    with pytest.raises(ConfigError, match="no calibration 'nowhere'"):
        load_calibration("nowhere")


def test_the_best_path_is_connected_and_never_uses_a_dead_coupler(baihua):
    lowered = lower(bound_student(n_qubits=11, n_layers=2))
    path = best_path(baihua, lowered)
    usable = baihua.usable()
    assert all((min(p), max(p)) in usable for p in pairwise(path))
    check_path(baihua, path, lowered.n_wires)
    killed = {(min(path[2:4]), max(path[2:4]))}
    couplers = [Coupler(c.qubits, 0.0) if c.qubits in killed else c for c in baihua.couplers]
    other = best_path(replace(baihua, couplers=tuple(couplers)), lowered)
    assert other != path
    assert expected_fidelity(lowered, baihua, other) <= expected_fidelity(lowered, baihua, path) * 1.1


def test_the_best_path_is_the_best_of_a_small_chip():
    chip = line(4, fidelity=[0.99, 0.9, 0.99])
    lowered = lower(bound_student(n_qubits=2, ansatz="brick"))
    assert set(best_path(chip, lowered)) in ({0, 1}, {2, 3})


def test_chips_that_are_too_small_or_in_pieces_are_refused():
    lowered = lower(bound_student(n_qubits=4, ansatz="brick"))
    with pytest.raises(ConfigError, match="has 3 qubits, the student needs 4"):
        best_path(line(3), lowered)
    with pytest.raises(ConfigError, match="no connected path of 4 qubits"):
        best_path(line(5, fidelity=[0.99, 0.0, 0.99, 0.99]), lowered)
    with pytest.raises(ConfigError, match="disconnected: qubits 2 and 0"):
        check_path(line(5), (3, 2, 0, 1), 4)
    with pytest.raises(ConfigError, match="names 3 qubits"):
        check_path(line(5), (1, 2, 3), 4)
    with pytest.raises(ConfigError, match="no qubit 9"):
        check_path(line(5), (1, 2, 3, 9), 4)


def test_impossible_noise_is_refused():
    good = line(2).noise((0, 1))
    with pytest.raises(CircuitError, match="T2 of wire 0"):
        replace(good, t2=(1000.0, 10.0))
    with pytest.raises(CircuitError, match="one_qubit of wire 1"):
        replace(good, one_qubit=(0.1, 0.9))
    with pytest.raises(CircuitError, match="wires 0 and 2 have no coupler"):
        NoiseModel((0.0,) * 3, {}, (1.0,) * 3, (1.0,) * 3, (0.0,) * 3, (0.0,) * 3, 0.1, 0.2).cz_error(2, 0)
