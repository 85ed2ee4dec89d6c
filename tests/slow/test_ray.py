"""A Ray cluster of two machines (as processes of this one): a lost machine loses no row and no fit."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdllm.data import Corpus
from qdllm.errors import DataError, WorkError
from qdllm.pipeline import RunConfig, compare_run, distill
from qdllm.pipeline.blocks import BlockFolder, run_job
from qdllm.pipeline.cluster import ClusterWorkers

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("default")

TEXTS = [f"text number {i}" for i in range(400)]


class Slow:
    """Takes a while for each block, and writes down where it was at work."""

    description = "slowly"
    identity = "slow"

    def __init__(self, log: Path, bad: str = "") -> None:
        self.log, self.bad = log, bad

    def __call__(self, texts: list[str]) -> pa.Table:
        if self.bad in texts:
            raise DataError(f"{self.bad!r} cannot be used")
        time.sleep(0.2)
        with self.log.open("a") as file:
            file.write(f"{texts[0]}|{ray.get_runtime_context().get_node_id()}\n")
        return pa.table({"text": texts, "length": [len(text) for text in texts]})


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "texts.parquet", row_group_size=90)
    return Corpus(tmp_path / "texts.parquet", block_rows=8)


@pytest.fixture
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def check(out: Path) -> None:
    table = pq.read_table(out)
    assert table["text"].to_pylist() == TEXTS and table["length"].to_pylist() == [len(t) for t in TEXTS]


def test_two_machines_share_the_work_and_one_may_die(cluster: Any, corpus: Corpus, tmp_path: Path) -> None:
    other = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    log, out = tmp_path / "log", tmp_path / "out.parquet"

    def kill() -> None:
        while not log.is_file() or len({line.split("|")[1] for line in log.read_text().splitlines()}) < 2:
            time.sleep(0.05)
        cluster.remove_node(other, allow_graceful=False)

    threading.Thread(target=kill, daemon=True).start()
    assert run_job(Slow(log), corpus, out, ray=cluster.address, quiet=True) == 400
    check(out)
    assert corpus.pieces is not None
    lines = log.read_text().splitlines()
    assert len({line.split("|")[1] for line in lines}) == 2
    assert len(lines) <= len(corpus.pieces) + 2  # the lost machine's blocks under way, no more


def test_what_is_done_is_not_done_again(cluster: Any, corpus: Corpus, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    with pytest.raises(DataError, match="'text number 48' cannot be used"):
        run_job(Slow(log, bad="text number 48"), corpus, out, ray=cluster.address, quiet=True)
    assert corpus.pieces is not None
    assert len(list(out.glob("part-*"))) == len(corpus.pieces) - 1  # the others went on
    assert run_job(Slow(log), corpus, out, ray=cluster.address, quiet=True) == 400
    check(out)
    lines = log.read_text().splitlines()
    assert len(lines) == len(corpus.pieces)
    assert BlockFolder(out, f"slow-{corpus.identity}").has(0)


def test_a_cluster_that_is_not_there(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"Ray at 127\.0\.0\.1:9: cannot be reached"):
        run_job(Slow(tmp_path / "log"), corpus, tmp_path / "out", ray="127.0.0.1:9", quiet=True)


class Squares:
    """Takes a while for each number, and writes down where it was at work."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self, number: int) -> int:
        if number < 0:
            raise DataError(f"{number} cannot be used")
        time.sleep(0.3)
        with self.log.open("a") as file:
            file.write(f"{number}|{ray.get_runtime_context().get_node_id()}\n")
        return number**2


def test_work_goes_on_when_a_machine_dies(cluster: Any, tmp_path: Path) -> None:
    other = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    nodes = set()
    with ClusterWorkers(cluster.address) as workers:
        found = {}
        for number, square in workers.map(Squares(tmp_path / "log"), range(40)):
            found[number] = square
            nodes = {line.split("|")[1] for line in (tmp_path / "log").read_text().splitlines()}
            if other is not None and len(nodes) == 2:
                cluster.remove_node(other, allow_graceful=False)
                other = None
    assert found == {number: number**2 for number in range(40)}
    assert other is None and len(nodes) == 2
    assert len((tmp_path / "log").read_text().splitlines()) <= 41  # what the lost machine was at, no more


def test_what_is_refused_keeps_its_kind(cluster: Any, tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="-1 cannot be used"),
        ClusterWorkers(cluster.address) as workers,
    ):
        list(workers.map(Squares(tmp_path / "log"), [-1]))


def test_a_comparison_on_a_cluster_is_that_of_one_machine(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    rows = [f"{['good', 'bad'][i % 2]} film {i},{['up', 'down'][i % 2]}" for i in range(120)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    config = RunConfig.from_toml(
        None,
        {
            "data": {"path": str(tmp_path / "data.csv")},
            "teacher": {"source": "none"},
            "encoder": {"source": "tfidf"},
            "student": {"n_qubits": 2, "n_layers": 1, "epochs": 3},
        },
    )
    only = {"seeds": 2, "budget": 1, "only": ["student", "logistic-regression"], "quiet": True}
    accuracies = []
    for name, how in (("cluster", {"ray": cluster.address}), ("here", {"workers": 1})):
        distill(config, tmp_path / name, quiet=True)
        found = compare_run(tmp_path / name, **only, **how)  # type: ignore[arg-type]
        accuracies.append([(row["contender"], row["seed"], row["measures"]) for row in found["results"]])
        assert not list((tmp_path / name / "compare").glob("tmp*"))
    assert len(accuracies[0]) == 4
    assert [row[:2] for row in accuracies[0]] == [row[:2] for row in accuracies[1]]
    for one, other in zip(*accuracies, strict=True):
        assert one[2]["accuracy"] == other[2]["accuracy"]
