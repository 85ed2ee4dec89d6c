"""Other libraries, each run by an interpreter of its own as a script of the folder that QDLLM_PEERS names.

A script is called with the arguments of `VARIANTS`, times the paper's circuit by the rule of `common.py`
beside it, checks itself against `reference.npz`, and writes one JSON a variant into the folder of the
environment variable RESULTS: name, version, variant, check (err, ok), and res, where fwd64 is the forward
run on 64 samples and fb64 the one with all gradients, each with ms, min_ms, wall_ms and wall_min_ms.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdllm.errors import ConfigError, DataError
from qdllm.files import read_json

VARIANTS: dict[str, tuple[str, ...]] = {
    "tensorcircuit_ng": ("merged state", "literal state"),
    "mindquantum_sim": ("literal c64", "merged c64 wham"),
    "pennylane_torch": ("literal c64", "merged c64"),
    "pennylane_lightning": ("merged c64",),
    "pyqtorch_sim": ("merged c64 state",),
}
"""Arguments of the scripts that need more than "merged": as published, and the library's fastest."""

FASTEST_PEER = "tensorcircuit_ng", "merged state"
PAPERS_ENGINE = "mindquantum_sim", "literal c64"

_SECONDS = 1200
_SHARED = ("common.py", "reference.npz")
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Peer:
    """One script with one set of arguments, and the interpreter that can run it."""

    name: str
    arguments: str
    script: Path
    python: Path

    @property
    def row(self) -> dict[str, Any]:
        """What says in the results which peer this is."""
        return {"peer": self.name, "arguments": self.arguments}


def peers_folder() -> Path | None:
    """Return the folder of the peers' scripts, or None where QDLLM_PEERS is not set.

    Raises
    ------
    ConfigError
        If a file is missing there.
    """
    named = os.environ.get("QDLLM_PEERS")
    if not named:
        return None
    for file in _SHARED:
        if not (Path(named) / file).is_file():
            raise ConfigError(f"QDLLM_PEERS={named}: no {file} there")
    return Path(named)


def find_peers(wanted: Iterable[str], folder: Path | None) -> list[Peer]:
    """Return what NAME=PYTHON asks for, every variant of it.

    Raises
    ------
    ConfigError
        If a request is malformed, or its script or interpreter is missing.
    """
    return [peer for request in wanted for peer in _find(request, folder)]


def _find(request: str, folder: Path | None) -> list[Peer]:
    name, equals, python = request.partition("=")
    if not (name and equals and python):
        raise ConfigError(f"--peer {request}: use NAME=PYTHON, the script's name and its interpreter")
    if folder is None:
        raise ConfigError(f"--peer {request}: set QDLLM_PEERS to the folder of the peers' scripts")
    script = folder / f"{name}.py"
    if not script.is_file() or script.name in _SHARED:
        known = sorted(path.stem for path in folder.glob("*.py") if path.name not in _SHARED)
        raise ConfigError(f"--peer {request}: no peer {name!r} in QDLLM_PEERS; there are {', '.join(known)}")
    interpreter = shutil.which(python)
    if interpreter is None:
        raise ConfigError(f"--peer {request}: no interpreter {python}; make the peer's environment first")
    variants = VARIANTS.get(name, ("merged",))
    return [Peer(name, arguments, script, Path(interpreter).absolute()) for arguments in variants]


def run_peer(peer: Peer, seconds: float = _SECONDS) -> list[dict[str, Any]]:
    """Run a peer on the cores that this process is tied to; return a row a variant that it measured.

    Where a peer could not be measured or its check failed, the row says so under ``failed``, without times.
    """
    with tempfile.TemporaryDirectory(prefix="qdllm-peer-") as name:
        # A copy under another name: some scripts are called as the package that they import.
        work, results = Path(name), Path(name) / "results"
        for file in _SHARED:
            shutil.copy(peer.script.parent / file, work / file)
        script = Path(shutil.copy(peer.script, work / "peer_script.py"))
        try:
            done = subprocess.run(
                [peer.python, script, *peer.arguments.split()],
                cwd=work,
                env={**os.environ, **_ONE_THREAD, "RESULTS": str(results)},
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [{**peer.row, "failed": f"not done within {seconds:g} s"}]
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return [{**peer.row, "failed": f"exit status {done.returncode}: {last[:200]}"}]
        files = sorted(results.glob("*.json"))
        if not files:
            return [{**peer.row, "failed": "it ended without writing a result"}]
        return [_row(peer, file) for file in files]


def _row(peer: Peer, file: Path) -> dict[str, Any]:
    try:
        said = read_json(file)
        row = {
            **peer.row,
            "library": said["name"],
            "version": said["version"],
            "variant": said["variant"],
            "check": dict(
                zip(("values", "parameter_gradients", "input_gradients"), said["check"]["err"], strict=True)
            ),
        }
        if not said["check"]["ok"]:
            return {**row, "failed": f"its check failed, largest error {max(said['check']['err']):.1e}"}
        return {
            **row,
            "forward": {batch: _times(said["res"][f"fwd{batch}"]) for batch in _batches(said["res"])},
            "step": {batch: _times(said["res"][f"fb{batch}"]) for batch in _batches(said["res"])},
        }
    except (DataError, KeyError, TypeError, ValueError) as error:
        return {**peer.row, "failed": f"its result cannot be read: {error!r}"}


def _batches(timings: dict[str, Any]) -> list[str]:
    return sorted((name.removeprefix("fb") for name in timings if name.startswith("fb")), key=int)


def _times(said: dict[str, float]) -> dict[str, float]:
    return {
        "cpu_ms": said["ms"],
        "cpu_min_ms": said["min_ms"],
        "wall_ms": said["wall_ms"],
        "wall_min_ms": said["wall_min_ms"],
        "readings": said["n"],
    }
