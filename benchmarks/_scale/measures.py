"""What the benchmark of scale measures, each a function from sizes to JSON."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import urllib3

from qdllm import Student, TextStudent
from qdllm.compare import one_thread
from qdllm.data import Corpus, TextDataset, load_demo, row_id, split_dataset
from qdllm.encoders import make_encoder
from qdllm.models import hidden_states, layer_count, load_causal_lm
from qdllm.pipeline.blocks import run_job
from qdllm.teachers import EndpointSettings, EndpointTeacher

_SERVER = Path(__file__).with_name("server.py")
_CALL = "from qdllm.cli import main; main()"
# getrusage would count what this process held when it forked
_CALL_AND_TELL = f"""
import atexit, sys
peak = lambda: [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
atexit.register(lambda: print(peak().split()[1], file=sys.stderr))
{_CALL}
"""
_GROUP = 50_000  # rows of a corpus file's row group


def predict(rows: int) -> dict[str, Any]:
    """Rate and peak memory of `qdllm predict` by the n-gram student, on `rows` texts and on a tenth."""
    reviews = load_demo("reviews")
    chosen = np.random.default_rng(0).permutation(len(reviews))[:3000]
    some = reviews.take(chosen)
    student = TextStudent(teacher=None, encoder="ngrams", student=Student(epochs=3))
    student.fit(some.texts, [str(label) for label in some.labels or ()])
    with TemporaryDirectory() as name:
        folder = Path(name)
        student.save_pretrained(folder / "student")
        found = {}
        for size in (rows // 10, rows):
            write_corpus(folder / "corpus.parquet", reviews.texts, size)
            found[str(size)] = _predicted(folder, size)
    return {"characters": float(np.mean([len(text) for text in reviews.texts])), "sizes": found}


def write_corpus(path: Path, texts: tuple[str, ...], rows: int) -> None:
    """Write texts drawn with replacement, each made its own by a number."""
    rng = np.random.default_rng(rows)
    with pq.ParquetWriter(path, pa.schema({"text": pa.string()})) as writer:
        for start in range(0, rows, _GROUP):
            drawn = rng.integers(0, len(texts), min(_GROUP, rows - start))
            numbered = [f"{texts[i]} {start + k}" for k, i in enumerate(drawn)]
            writer.write_table(pa.table({"text": numbered}))


def _predicted(folder: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, "-c", _CALL_AND_TELL, "predict", str(folder / "student"), "--quiet"]
    command += ["--input", str(folder / "corpus.parquet"), "--out", str(folder / "out.parquet")]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=_one_thread()
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    assert process.stderr is not None
    with process.stderr as said:
        lines = said.read().split()
    assert process.returncode == 0 and pq.read_metadata(folder / "out.parquet").num_rows == rows
    cpu = usage.ru_utime + usage.ru_stime
    return {
        "texts_per_second": rows / seconds,
        "texts_per_cpu_second": rows / cpu,
        "peak_mb": int(lines[-1]) / 1024,
    }


def rates(texts: int = 256) -> dict[str, dict[str, float]]:
    """Texts a CPU second, one thread, nothing cached, of an encoder and a teacher on the reviews."""
    reviews = load_demo("reviews")
    some = [reviews.texts[i] for i in np.random.default_rng(0).permutation(len(reviews))[:texts]]
    encoder = make_encoder("minilm")
    lm, tokenizer = load_causal_lm("smollm2")
    depth = layer_count(lm)
    ways: dict[str, Callable[[list[str]], object]] = {
        "MiniLM": lambda part: encoder.encode(part, cached=False),
        "SmolLM2-135M, all layers": lambda part: hidden_states(lm, tokenizer, part, [depth]),
    }
    found = {}
    with one_thread():
        for name, way in ways.items():
            way(some[:16])
            started = time.process_time()
            way(some)
            found[name] = {"texts_per_cpu_second": texts / (time.process_time() - started)}
    return found


def endpoint(texts: int, slots: int = 16, seconds: float = 0.04) -> dict[str, float]:
    """Labelling through an endpoint, beside a bare load generator on the same server."""
    dataset = TextDataset.from_lists([f"text {'x' * (i % 9)} number {i}" for i in range(texts)])
    split = split_dataset(dataset, seed=0)
    with serving(slots, seconds) as url, TemporaryDirectory() as cache:
        settings = EndpointSettings(concurrency=2 * slots, scoring="logprobs")
        words = {"no": "no", "yes": "yes"}
        teacher = EndpointTeacher(
            url,
            endpoint=settings,
            shots=0,
            label_words=words,
            batch_calibration=False,
            cache=cache,
            quiet=True,
        )
        teacher.fit(dataset, split)
        rates: dict[str, list[float]] = {"bare": [], "labelling": []}
        for part in np.array_split(np.arange(texts), 3):  # in turn, so that what else runs strikes both
            some = [dataset.texts[i] for i in part]
            rates["bare"].append(_bare(url, some, 2 * slots))
            started = time.perf_counter()
            teacher.predict_proba(some)
            rates["labelling"].append(len(some) / (time.perf_counter() - started))
    bare, own = (float(np.median(rates[name])) for name in ("bare", "labelling"))
    return {"server_answers_per_second": bare, "labels_per_second": own, "share": own / bare}


def _bare(url: str, texts: list[str], connections: int) -> float:
    pool = urllib3.PoolManager(maxsize=connections, block=True)

    def post(text: str) -> None:
        body = {"model": "known-speed", "messages": [{"role": "user", "content": text}], "max_tokens": 4}
        assert pool.request("POST", f"{url}/chat/completions", body=json.dumps(body).encode()).status == 200

    started = time.perf_counter()
    with ThreadPoolExecutor(connections) as executor:
        list(executor.map(post, texts))
    return len(texts) / (time.perf_counter() - started)


@contextmanager
def serving(slots: int, seconds: float) -> Iterator[str]:
    """Run the server of a known speed."""
    command = [sys.executable, str(_SERVER), str(slots), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.terminate()


class Slow:
    """A job that takes a while for each block and says in which process."""

    description = "slowly"
    identity = "slow"

    def __init__(self, log: Path, seconds: float) -> None:
        self._log, self._seconds = log, seconds

    def __call__(self, texts: list[str]) -> pa.Table:
        """Spend the time on a processor, as labelling does."""
        with self._log.open("a") as file:
            file.write(f"{os.getpid()} {texts[0]}\n")
        until = time.process_time() + self._seconds
        while time.process_time() < until:
            sum(range(1000))
        return pa.table({"text": texts})


def kill_processes(kills: int) -> dict[str, int]:
    """Label a corpus through an endpoint, killed again and again; count rows lost and doubled."""
    rng = random.Random(0)
    with serving(4, 0.01) as url, TemporaryDirectory() as name:
        folder = Path(name)
        texts = [f"text {'x' * (i % 9)} number {i}" for i in range(800 * kills)]
        corpus = pa.table({"text": texts, "label": ["yes", "no"] * (len(texts) // 2)})
        pq.write_table(corpus, folder / "c.parquet")
        pq.write_table(corpus.slice(0, 60), folder / "d.parquet")
        command = [sys.executable, "-c", _CALL, "label", str(folder / "d.parquet"), "--teacher", url]
        command += ["--mode", "zero-shot", "--corpus", str(folder / "c.parquet"), "--quiet"]
        command += ["--out", str(folder / "out.parquet")]
        environment = {**_one_thread(), "QDLLM_CACHE": str(folder / "cache")}
        done = 0
        while done < kills:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
            try:
                process.wait(rng.uniform(3.0, 9.0))
                break  # it is finished: fewer kills than asked for are reported
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                done += 1
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
        found = pq.read_table(folder / "out.parquet")["row_id"]
        return {"kills": done, **_compared([row_id(text) for text in texts], found)}


def kill_workers(kills: int) -> dict[str, int]:
    """Work on a corpus by Ray's workers, one of which is killed again and again."""
    rng = random.Random(1)
    with TemporaryDirectory() as name, ray_of(2):
        folder = Path(name)
        texts = [f"text number {i}" for i in range(40 * kills)]
        pq.write_table(pa.table({"text": texts}), folder / "c.parquet")
        log, finished, done = folder / "log", threading.Event(), 0

        def kill() -> None:
            nonlocal done
            while done < kills and not finished.wait(rng.uniform(0.2, 0.6)):
                lines = log.read_text().splitlines() if log.is_file() else []
                alive = [pid for line in lines[-4:] if _is_alive(pid := int(line.split()[0]))]
                if alive:
                    os.kill(rng.choice(alive), signal.SIGKILL)
                    done += 1

        thread = threading.Thread(target=kill)
        thread.start()
        corpus = Corpus(folder / "c.parquet", block_rows=4)
        run_job(Slow(log, 0.1), corpus, folder / "out.parquet", ray="auto", quiet=True)
        finished.set()
        thread.join()
        repeated = len(log.read_text().splitlines()) - len(corpus.pieces or ())
        found = _compared(texts, pq.read_table(folder / "out.parquet")["text"])
    return {"kills": done, "blocks_begun_again": repeated, **found}


def ray_speed(blocks: int) -> dict[str, float]:
    """Blocks a second by one worker of Ray and by two, from the first block filed to the last."""
    rates = {}
    for workers in (1, 2):
        with TemporaryDirectory() as name, ray_of(workers):
            folder = Path(name)
            pq.write_table(pa.table({"text": [f"text {i}" for i in range(blocks)]}), folder / "c.parquet")
            corpus = Corpus(folder / "c.parquet", block_rows=1)
            run_job(Slow(folder / "log", 0.2), corpus, folder / "out", ray="auto", quiet=True)
            times = sorted(path.stat().st_mtime for path in (folder / "out").glob("part-*"))
            rates[workers] = (len(times) - 1) / (times[-1] - times[0])
    return {"one": rates[1], "two": rates[2], "times": rates[2] / rates[1]}


@contextmanager
def ray_of(workers: int) -> Iterator[None]:
    """Start Ray with so many workers in this process's name."""
    import ray

    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # workers import this module too
    ray.init(num_cpus=workers, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _compared(wanted: list[str], found: Any) -> dict[str, int]:
    counts = Counter(found.to_pylist())
    return {
        "rows": len(wanted),
        "lost": sum(text not in counts for text in wanted),
        "doubled": sum(count - 1 for count in counts.values()),
    }


def _one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}
