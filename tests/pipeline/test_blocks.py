"""Jobs by the block: no row lost or doubled however often they are killed, memory of one block."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdllm.data import Corpus
from qdllm.errors import ConfigError, WorkError
from qdllm.pipeline.blocks import run_job

TEXTS = [f"text number {i}" for i in range(100)]


class Lengths:
    """Counts characters, and its own calls; fails at one of them if told."""

    description = "counting"

    def __init__(self, identity: str = "lengths", fail_at: int = -1) -> None:
        self.identity = identity
        self.fail_at = fail_at
        self.calls = 0

    def __call__(self, texts: list[str]) -> pa.Table:
        self.calls += 1
        if self.calls == self.fail_at:
            raise WorkError("a fault in the middle")
        return pa.table({"text": texts, "length": [len(text) for text in texts]})


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "texts.parquet", row_group_size=30)
    return Corpus(tmp_path / "texts.parquet", block_rows=8)


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_every_row_is_there_once_and_in_order(corpus: Corpus, tmp_path: Path, name: str) -> None:
    assert run_job(Lengths(), corpus, tmp_path / name) == 100
    table = pq.read_table(tmp_path / name)
    assert table["text"].to_pylist() == TEXTS and table["length"].to_pylist() == [len(t) for t in TEXTS]
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "texts.parquet"]


def test_a_failed_job_goes_on_from_its_last_block(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    assert corpus.pieces is not None
    with pytest.raises(WorkError, match="a fault in the middle"):
        run_job(Lengths(fail_at=6), corpus, out)
    assert not out.exists() and len(list((tmp_path / "out.parquet.blocks").glob("part-*"))) == 5
    again = Lengths()
    assert run_job(again, corpus, out) == 100
    assert again.calls == len(corpus.pieces) - 5
    assert pq.read_table(out)["text"].to_pylist() == TEXTS


def test_blocks_of_another_job_are_not_taken_over(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(WorkError):
        run_job(Lengths(fail_at=6), corpus, tmp_path / "out.parquet")
    other = Lengths("other")
    run_job(other, corpus, tmp_path / "out.parquet")
    assert corpus.pieces is not None and other.calls == len(corpus.pieces)
    run_job(Lengths(), corpus, tmp_path / "out")
    with pytest.raises(ConfigError, match="holds something else than this job's blocks"):
        run_job(other, corpus, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="give another --out"):
        run_job(other, corpus, tmp_path / "mine")


SCRIPT = """
import sys, time
from pathlib import Path
import pyarrow as pa
from qdllm.data import Corpus
from qdllm.pipeline.blocks import run_job

class Slow:
    description, identity = "slowly", "slow"
    def __call__(self, texts):
        time.sleep(0.01)
        return pa.table({"text": texts})

print("ready", flush=True)
run_job(Slow(), Corpus(sys.argv[1], block_rows=2), sys.argv[2])
"""


def test_killed_processes_lose_and_double_nothing(corpus: Corpus, tmp_path: Path) -> None:
    rng = random.Random(0)
    out = tmp_path / "out.parquet"
    command = [sys.executable, "-c", SCRIPT, str(corpus.path), str(out)]
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.05, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert pq.read_table(out)["text"].to_pylist() == TEXTS
