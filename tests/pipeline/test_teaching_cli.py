"""Teachers and corpora through the command line: what is wrong is one line, and exit status 2 or 1."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdllm.cli import main

pytest.importorskip("urllib3")


def failed(status: int, *arguments: object) -> str:
    """Return the one line that a command gets, after checking that it is one, and the exit status."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["qdllm", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exit_:
            main()
    finally:
        sys.argv = before
    assert exit_.value.code == status, err.getvalue() or out.getvalue()
    (line,) = err.getvalue().strip().splitlines()
    return line


@pytest.fixture
def data(tmp_path: Path, fresh_cache: Path) -> Path:
    texts = [f"{'goal' if i % 2 else 'bank'} number {i}" for i in range(400)]
    labels = ["sport" if i % 2 else "market" for i in range(400)]
    pq.write_table(pa.table({"text": texts, "label": labels}), tmp_path / "data.parquet")
    return tmp_path / "data.parquet"


NOWHERE = ("--teacher", "http://127.0.0.1:9/v1", "--quiet")


def test_an_endpoint_that_cannot_be_reached(data: Path, tmp_path: Path) -> None:
    line = failed(1, "label", data, *NOWHERE, "--out", tmp_path / "l.parquet")
    assert "http://127.0.0.1:9/v1: cannot be reached" in line
    assert not (tmp_path / "l.parquet").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--budget", 0, "--price-in", 1), "teacher.endpoint.budget: Input should be greater than 0"),
        (("--budget-tokens", 0), "teacher.endpoint.budget_tokens: Input should be greater than 0"),
        (("--budget", 5), "a budget of money needs price_in and price_out"),
        (("--mode", "probe"), "an endpoint is asked few-shot or zero-shot"),
    ],
)
def test_options_of_an_endpoint(data: Path, tmp_path: Path, options: tuple[object, ...], said: str) -> None:
    assert said in failed(2, "label", data, *NOWHERE, *options, "--out", tmp_path / "l.parquet")


def test_labels_that_read_alike(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[teacher]\nlabel_words = { sport = "Yes", market = "yes" }\n')
    line = failed(2, "label", data, *NOWHERE, "--model", "m", "--config", config, "--out", tmp_path / "l")
    assert "reads the same as that of 'market'" in line


def test_a_folder_of_parquet_with_a_corrupt_file(data: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.parquet").write_bytes(data.read_bytes())
    (corpus / "b.parquet").write_bytes(data.read_bytes()[:-100])
    line = failed(2, "embed", data, "--encoder", "tfidf", "--corpus", corpus, "--out", tmp_path / "x.parquet")
    assert "b.parquet: not readable as Parquet" in line


def test_ray_that_is_not_installed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    options = ("--encoder", "tfidf", "--corpus", data, "--ray", "local", "--out", tmp_path / "x.parquet")
    line = failed(2, "embed", data, *options)
    assert line == "qdllm: sharing out to a cluster needs the package 'ray': pip install 'qdllm[ray]'"


def test_ray_reads_parquet_alone(data: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text\ngoal\n")
    options = ("--encoder", "tfidf", "--corpus", tmp_path / "texts.csv", "--ray", "local")
    line = failed(2, "embed", data, *options, "--out", tmp_path / "x.parquet")
    assert "Ray reads blocks of Parquet" in line


def test_teaching_what_cannot_be_taught(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    out = tmp_path / "taught"
    assert "no such file or folder" in failed(2, "teach", data, "--model", "./nowhere", "--out", out)
    assert "rank: Input should be" in failed(2, "teach", data, "--model", "m", "--rank", 0, "--out", out)
    out.mkdir()
    assert "holds something else" in failed(2, "teach", data, "--model", "m", "--out", out)


def test_texts_and_a_file_to_write(tmp_path: Path) -> None:
    line = failed(2, "predict", tmp_path, "some text", "--out", tmp_path / "p.parquet")
    assert "--out is for --input DATA" in line
