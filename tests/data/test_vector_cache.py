import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from qdllm.data import VectorCache, cache_dir, cached_map
from qdllm.errors import ConfigError, DataError, WorkError

SETTINGS = {"model": "m", "layers": [1, 2], "prompt": "日本"}
TEXTS = [f"text {i} " + "x" * (i % 40) for i in range(1500)]

# What a text's vector must be, here and in the processes that are killed.
VECTOR = "np.array([[len(t), sum(map(ord, t)), hash_of(t)] for t in texts], dtype=np.float32)"
WORKER = f"""
import sys, time, zlib
import numpy as np
from qdllm.data import VectorCache, cached_map
hash_of = lambda t: zlib.crc32(t.encode()) % 9973
def compute(texts):
    time.sleep(0.004)  # so that no machine is done before it has been killed six times
    return {VECTOR}
texts = [f"text {{i}} " + "x" * (i % 40) for i in range(1500)]
cache = VectorCache(sys.argv[1], {SETTINGS!r})
print("ready", flush=True)
cached_map(cache, texts, compute, batch_size=int(sys.argv[2]), description="work")
"""


def compute(texts: list[str]) -> np.ndarray:
    import zlib

    def hash_of(text: str) -> int:
        return zlib.crc32(text.encode()) % 9973

    return np.array([[len(t), sum(map(ord, t)), hash_of(t)] for t in texts], dtype=np.float32)


def test_vectors_come_back_bit_for_bit(tmp_path: Path) -> None:
    vectors = {f"k{i}": np.random.default_rng(i).normal(size=7).astype(np.float32) for i in range(1200)}
    VectorCache(tmp_path, SETTINGS).put_many(vectors)
    cache = VectorCache(tmp_path, dict(reversed(SETTINGS.items())))
    assert len(cache) == 1200
    found = cache.get_many([*vectors, "absent"])
    assert found.keys() == vectors.keys()
    assert all((found[key] == vectors[key]).all() for key in vectors)
    found["k0"][0] = 1  # a copy that its owner may write to


def test_settings_are_never_mixed(tmp_path: Path) -> None:
    one, two = VectorCache(tmp_path, {"mode": 1}), VectorCache(tmp_path, {"mode": 2})
    one.put_many({"k": [1.0]})
    assert one.path != two.path
    assert two.get_many(["k"]) == {}
    two.path.write_bytes(one.path.read_bytes())
    with pytest.raises(DataError, match="made with other settings; remove the file"):
        VectorCache(tmp_path, {"mode": 2})


def test_settings_must_be_json(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be JSON"):
        VectorCache(tmp_path, {"model": object()})
    with pytest.raises(ConfigError, match="must be JSON"):
        VectorCache(tmp_path, {"temperature": float("nan")})


@pytest.mark.parametrize("vector", [[np.nan], [np.inf], [[1.0]]])
def test_only_finite_rows_are_kept(tmp_path: Path, vector: list[float]) -> None:
    cache = VectorCache(tmp_path, SETTINGS)
    with pytest.raises(WorkError, match="finite"):
        cache.put_many({"good": [1.0], "bad": vector})
    assert len(cache) == 0


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, SETTINGS)
    cache.path.write_bytes(b"this is no database" * 100)
    with pytest.raises(DataError, match=r"\.sqlite: damaged .*; remove the file"):
        VectorCache(tmp_path, SETTINGS)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: cannot be made"):
        VectorCache(tmp_path / "file", SETTINGS)


def test_cached_map_computes_each_missing_text_once_longest_first(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, SETTINGS)
    cached_map(cache, ["bb"], compute, batch_size=8, description="d")
    batches: list[list[str]] = []

    def spy(texts: list[str]) -> np.ndarray:
        batches.append(texts)
        return compute(texts)

    texts = ["a", "ccc", "bb", "dddd", "a", "eeeee"]
    found = cached_map(cache, texts, spy, batch_size=2, description="d")
    assert batches == [["eeeee", "dddd"], ["ccc", "a"]]
    assert found.dtype == np.float32
    assert (found == compute(texts)).all()


def test_cached_map_without_texts(tmp_path: Path) -> None:
    assert cached_map(VectorCache(tmp_path, {}), [], compute, batch_size=2, description="d").shape == (0, 0)


@pytest.mark.parametrize("wrong", [np.ones((1, 3)), np.ones(2), np.ones((2, 1, 1))])
def test_cached_map_refuses_a_wrong_shape(tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(WorkError, match="2 texts gave an array of shape"):
        cached_map(VectorCache(tmp_path, {}), ["a", "b"], lambda _: wrong, batch_size=2, description="d")


def test_cached_map_refuses_vectors_of_different_lengths(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, {})
    with pytest.raises(WorkError, match="different lengths"):
        cached_map(cache, ["a", "bb"], lambda t: np.ones((1, len(t[0]))), batch_size=1, description="d")
    with pytest.raises(ConfigError, match="batch_size 0"):
        cached_map(cache, ["a"], compute, batch_size=0, description="d")


def test_ctrl_c_keeps_the_batches_that_are_done(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, SETTINGS)
    calls = 0

    def interrupted(texts: list[str]) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return compute(texts)

    with pytest.raises(KeyboardInterrupt):
        cached_map(cache, TEXTS, interrupted, batch_size=10, description="d")
    assert len(cache) == 20


def test_a_kill_at_any_moment_loses_at_most_one_batch(tmp_path: Path) -> None:
    moments = random.Random(0)
    done = 0
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), "4"], stdout=subprocess.PIPE
        ) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                worker.wait(moments.uniform(0.02, 0.2))
            worker.send_signal(signal.SIGKILL)
        cache = VectorCache(tmp_path, SETTINGS)
        with sqlite3.connect(cache.path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            stored = connection.execute("SELECT COUNT(*) FROM vectors").fetchone()[0]
        connection.close()
        assert stored >= done
        assert stored % 4 == 0  # whole batches
        done = stored
    assert 0 < done < len(TEXTS)

    computed: list[str] = []

    def spy(texts: list[str]) -> np.ndarray:
        computed.extend(texts)
        return compute(texts)

    found = cached_map(cache, TEXTS, spy, batch_size=100, description="d")
    assert (found == compute(TEXTS)).all()
    assert len(computed) == len(TEXTS) - done


def test_two_processes_fill_one_store(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), "50"], stdout=subprocess.DEVNULL)
        for _ in "ab"
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    cache = VectorCache(tmp_path, SETTINGS)
    assert len(cache) == len(TEXTS)

    def never(texts: list[str]) -> np.ndarray:
        raise AssertionError(texts)

    assert (cached_map(cache, TEXTS, never, batch_size=4, description="d") == compute(TEXTS)).all()


def test_cache_dir_is_the_users_or_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QDLLM_CACHE", str(tmp_path / "x"))
    assert cache_dir() == tmp_path / "x"
    monkeypatch.delenv("QDLLM_CACHE")
    assert cache_dir() == Path(platformdirs.user_cache_dir("qdllm", appauthor=False))
