import importlib
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from qdllm.circuits import light_cones
from qdllm.errors import ConfigError, WorkError

pytest.importorskip("matplotlib")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

COMMON = """
    import json, os, sys
    from pathlib import Path

    def save(slower, ok=True):
        times = {"ms": slower, "min_ms": slower, "wall_ms": slower, "wall_min_ms": slower, "n": 7}
        said = {
            "name": "a library", "version": "1.0", "variant": "-".join(sys.argv[1:]),
            "res": {f"{kind}{batch}": times for kind in ("fwd", "fb") for batch in (256, 64, 1)},
            "check": {"err": [1e-7, 1e-6, 1e-6 if ok else 0.5], "ok": ok},
        }
        folder = Path(os.environ["RESULTS"])
        folder.mkdir(exist_ok=True)
        (folder / f"{said['variant']}.json").write_text(json.dumps(said))
"""
SCRIPTS = {
    "common": COMMON,
    "tensorcircuit_ng": "from common import save; save(1e4)",
    "mindquantum_sim": "from common import save; save(1e4, ok=False)",
    "broken": "import a_library_that_is_not_there",
    "silent": "print('nothing to say')",
    "odd": """
        import os
        from pathlib import Path
        Path(os.environ["RESULTS"]).mkdir()
        Path(os.environ["RESULTS"], "odd.json").write_text('{"name": "odd"}')
    """,
    "slow": "import time; time.sleep(60)",
}


@pytest.fixture
def part(monkeypatch):
    """Import a part of the benchmark by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: importlib.import_module(f"_circuit.{name}")


@pytest.fixture
def folder(part, tmp_path):
    """A folder of peers: scripts that behave and misbehave, and a right reference."""
    problems = part("problems")
    right = problems.reference_of(None)
    names = problems.paper_problem().circuit.parameter_names
    gradients = dict(zip(names, right.parameter_gradients, strict=True))
    shapes = {**dict.fromkeys("abc", (2, 10)), "d": (2, 9), **dict.fromkeys("efg", (2, 11))}
    g = [gradients[f"l{i}_{k}{j}"] for k, shape in shapes.items() for i, j in np.ndindex(shape)]
    peers = tmp_path / "peers"
    peers.mkdir()
    np.savez(peers / "reference.npz", Z=right.values, g=g, gx=right.input_gradients)
    for name, source in SCRIPTS.items():
        (peers / f"{name}.py").write_text(textwrap.dedent(source))
    return peers


def _bench(*options, peers=""):
    call = [sys.executable, BENCHMARKS / "circuit.py", "--quick", "--json", *options]
    environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "QDLLM_PEERS": str(peers)}
    return subprocess.run(call, capture_output=True, text=True, env=environment, check=False)


def test_one_run_measures_judges_and_writes_everything(folder, tmp_path):
    names = ("tensorcircuit_ng", "mindquantum_sim", "broken")
    options = [word for name in names for word in ("--peer", f"{name}={sys.executable}")]
    done = _bench(*options, "--out", tmp_path / "out", peers=folder)
    assert done.returncode == 1, done.stderr
    (message,) = done.stderr.splitlines()
    assert message.startswith(
        "qdllm: not measured: mindquantum_sim (its check failed, largest error 5.0e-01)"
    )
    assert "ModuleNotFoundError" in message

    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "out" / "circuit.json").read_text())
    assert found["command"].endswith("--peer broken=PYTHON")
    kinds = [(row["engine"], row["dtype"]) for row in found["paper"]]
    assert len(set(kinds)) == len(kinds)
    assert len(kinds) in (2, 4)
    assert kinds[0][1] == "float32"
    for row in found["paper"]:
        for kind in ("forward", "step"):
            assert list(row[kind]) == ["1", "64", "256"]
            assert all(times["cpu_min_ms"] <= times["cpu_ms"] for times in row[kind].values())
    assert len(found["checks"]["engines"]) == len(kinds)

    tensorcircuit = found["peers"][0]
    ratio = 1e4 / tensorcircuit["ours"]["step"]["64"]["cpu_ms"]
    assert tensorcircuit["times_ours"]["step"]["64"] == pytest.approx(ratio)
    assert [row["arguments"] for row in found["peers"][:2]] == ["merged state", "literal state"]
    assert ["failed" in row for row in found["peers"]] == [False, False, True, True, True]

    verdicts = {bar["bar"]: bar["met"] for bar in found["bars"]}
    assert verdicts["times as fast as TensorCircuit-NG + JAX, batch 64"] is True
    assert verdicts["times as fast as the paper's engine, batch 64"] is None
    assert found["families"][0]["relative_to_papers"] == 1
    assert [row["qubits"] for row in found["sizes"]] == [2, 3, 4]
    assert "step_us_per_sample" not in found["sizes"][-1]
    assert 0 < found["memory"]["peak_above_torch_mb"] < 1000

    page = (tmp_path / "out" / "circuit.md").read_text(encoding="utf-8")
    assert "| a library 1.0 | merged-state |" in page
    assert "- broken, merged: not measured, exit status 1: ModuleNotFoundError" in page
    assert str(tmp_path) not in page
    assert (tmp_path / "out" / "circuit-sizes.png").read_bytes().startswith(b"\x89PNG")


def test_a_wrong_request_is_one_line_and_measures_nothing(folder, tmp_path):
    done = _bench("--peer", "broken=/no/such/python", "--out", tmp_path / "out", peers=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "qdllm: --peer broken=/no/such/python: no interpreter /no/such/python; "
        "make the peer's environment first"
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("broken", "use NAME=PYTHON"),
        ("=python3", "use NAME=PYTHON"),
        ("broken=", "use NAME=PYTHON"),
        ("unheard_of=python3", r"no peer 'unheard_of' in QDLLM_PEERS; there are broken, mindquantum_sim"),
        ("common=python3", "no peer 'common'"),
        ("broken=no-such-python", "no interpreter no-such-python"),
    ],
)
def test_malformed_requests_are_refused(part, folder, request_, message):
    with pytest.raises(ConfigError, match=message):
        part("peers").find_peers([request_], folder)


def test_peers_need_their_folder(part, monkeypatch, tmp_path):
    peers = part("peers")
    monkeypatch.delenv("QDLLM_PEERS", raising=False)
    assert peers.peers_folder() is None
    with pytest.raises(ConfigError, match="set QDLLM_PEERS"):
        peers.find_peers(["broken=python3"], None)
    monkeypatch.setenv("QDLLM_PEERS", str(tmp_path))
    with pytest.raises(ConfigError, match=r"no common\.py there"):
        peers.peers_folder()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("silent", "without writing a result"),
        ("odd", "its result cannot be read: KeyError"),
        ("slow", r"not done within 0\.5 s"),
    ],
)
def test_a_peer_that_fails_is_a_row_that_says_why(part, folder, name, message):
    peers = part("peers")
    (peer,) = peers.find_peers([f"{name}={sys.executable}"], folder)
    (row,) = peers.run_peer(peer, seconds=0.5 if name == "slow" else 60)
    assert set(row) == {"peer", "arguments", "failed"}
    assert re.search(message, row["failed"])


def test_a_wrong_engine_is_not_timed(part, folder):
    problems = part("problems")
    right = problems.reference_of(folder)
    assert max(right.check(torch.float64, "torch").values()) < 1e-10
    wrong = problems.Reference("here", right.values + 1e-3, right.parameter_gradients, right.input_gradients)
    with pytest.raises(WorkError, match="torch does not meet here"):
        wrong.check(torch.float64, "torch")


def test_every_family_needs_all_its_qubits(part):
    for name, circuit in part("problems").families(11).items():
        assert [cone.compiled.n_qubits for cone in light_cones(circuit)] == [11], name
