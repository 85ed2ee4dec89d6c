"""A bounded queue before a model: requests that wait together are answered in one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdllm.serve.model import TextModel

__all__ = ["Batches", "Busy"]

Answer = NDArray[np.float64]


class Busy(Exception):  # noqa: N818 - said to the client, not an error of ours
    """As many requests wait as may wait."""


@dataclass(frozen=True)
class _Job:
    texts: Sequence[str]
    answer: asyncio.Future[Answer]


class Batches:
    """Asks a model in a thread of its own, one batch at a time.

    Parameters
    ----------
    model : TextModel
    waiting : int
        So many requests may wait; one more is refused.
    texts : int
        So many texts are asked about at once, or one request if it holds more.
    """

    def __init__(self, model: TextModel, *, waiting: int, texts: int) -> None:
        self.model = model
        self._texts = texts
        self._queue: asyncio.Queue[_Job] = asyncio.Queue(waiting)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=model.name)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._queue.qsize()

    async def ask(self, texts: Sequence[str], timeout: float) -> Answer:
        """Return the probabilities of texts, shape (n, C).

        Raises
        ------
        Busy
            If too many requests wait already.
        TimeoutError
            If there is no answer after `timeout` seconds.
        """
        job = _Job(texts, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            raise Busy from None
        return await asyncio.wait_for(job.answer, timeout)

    async def run(self) -> None:
        """Answer until cancelled."""
        try:
            while True:
                await self._answer(await self._next())
        finally:
            self._thread.shutdown(cancel_futures=True)

    async def _next(self) -> list[_Job]:
        """Wait for a request, and take those that wait behind it as far as a batch holds them."""
        jobs = [await self._queue.get()]
        total = len(jobs[0].texts)
        while total < self._texts and not self._queue.empty():
            jobs.append(self._queue.get_nowait())
            total += len(jobs[-1].texts)
        return [job for job in jobs if not job.answer.done()]  # whose asker has not given up

    async def _answer(self, jobs: Sequence[_Job]) -> None:
        if not jobs:
            return
        texts = [text for job in jobs for text in job.texts]
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._thread, self.model.predict_proba, texts
            )
        except Exception as error:
            for job in jobs:
                if not job.answer.done():
                    job.answer.set_exception(error)
            return
        start = 0
        for job in jobs:
            if not job.answer.done():
                job.answer.set_result(found[start : start + len(job.texts)])
            start += len(job.texts)
