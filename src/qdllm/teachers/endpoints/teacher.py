"""A model behind an endpoint as a teacher: the prompt of `PromptedTeacher`, as a chat."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.data import VectorCache
from qdllm.errors import ConfigError, DataError
from qdllm.progress import progress
from qdllm.teachers.endpoints.budget import Budget, Ledger, Usage
from qdllm.teachers.endpoints.choices import score_logprobs, score_votes, vote
from qdllm.teachers.endpoints.client import Client, Message, RefusedError, check_url
from qdllm.teachers.endpoints.settings import EndpointSettings, Scoring
from qdllm.teachers.prompted import TEMPLATE, Example, PromptedTeacher
from qdllm.teachers.task import Task

__all__ = ["EndpointTeacher"]

_TOP = 20  # alternatives a position: the most that servers give
_CHARACTERS_A_TOKEN = 4  # a text is cut here, where no tokenizer is at hand; estimates count bytes alike
_SAME = 1e-9  # scores of an answer that prefers no class
_TRIES = 3  # answers without log-probabilities before a server counts as one that has none
_log = logging.getLogger(__name__)


class EndpointTeacher(PromptedTeacher):
    """Scores label strings by the answers of an OpenAI-compatible server.

    Every answer is kept when it arrives: an interrupted run pays nothing twice. Requests under way at an
    interruption are waited for and kept too.

    Parameters
    ----------
    url : str
        Where the API begins: ``http://localhost:8000/v1``.
    endpoint : EndpointSettings, optional
        The model, how it is scored, limits, budget and prices.
    shots, template, instruction, label_words, batch_calibration
        See `PromptTeacher`.
    max_tokens : int
        A text is cut after four times as many characters.
    seed, cache, quiet
        See `Teacher`.

    Raises
    ------
    ConfigError
        If the URL or an option is not usable.
    """

    def __init__(
        self,
        url: str,
        *,
        endpoint: EndpointSettings | None = None,
        shots: int = 4,
        template: str = TEMPLATE,
        instruction: str | None = None,
        label_words: Mapping[str, str] | None = None,
        batch_calibration: bool = True,
        max_tokens: int = 256,
        seed: int = 0,
        cache: str | Path | None = None,
        quiet: bool = False,
    ) -> None:
        super().__init__(
            check_url(url),
            shots=shots,
            template=template,
            instruction=instruction,
            label_words=label_words,
            batch_calibration=batch_calibration,
            max_tokens=max_tokens,
            seed=seed,
            cache=cache,
            quiet=quiet,
        )
        self.endpoint = endpoint or EndpointSettings()
        self._job = ""
        self._scoring: Scoring = self.endpoint.scoring

    @property
    def settings(self) -> dict[str, Any]:
        """See `Teacher.settings`; what bounds time and money does not count."""
        return {
            **super().settings,
            "teacher": "endpoint",
            "url": self.name,
            "model": self._model_name,
            "scoring": self.endpoint.scoring,
            "samples": self.endpoint.samples,
        }

    def describe(self) -> dict[str, Any]:
        """See `Teacher.describe`."""
        spent = self._budget.spent
        return {
            **super().describe(),
            "model": self._model_name,
            "spent": {**asdict(spent), "money": spent.cost(self.endpoint)},
        }

    def _fit(self, task: Task) -> None:
        self._job = hashlib.sha256("".join(sorted(task.row_ids)).encode()).hexdigest()
        vars(self).pop("_budget", None)
        self._announce(task)
        super()._fit(task)

    def _logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        logits = super()._logits(texts)
        silent = int((np.ptp(logits + self._offset, axis=1) < _SAME).sum())
        if silent:
            _log.warning("%s: %d of %d answers name no class", self.name, silent, len(texts))
        spent = self._budget.spent - self._budget.before
        if spent.tokens:
            _log.info("%s: %s so far", self.name, self._budget.describe(spent))
        return logits

    def _check_words(self) -> None:
        spelled = [word.strip().casefold() for word in self._words]
        for i, word in enumerate(spelled):
            if not word or word in spelled[:i]:
                twin = self.classes[spelled.index(word)]
                raise DataError(
                    f"class {self.classes[i]!r}: its label string {self._words[i]!r} reads the same as that "
                    f"of {twin!r} in an answer; give the two classes different label words"
                )

    def _raw(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self._scores(texts, lambda _: self._examples, leave_one_out=False)

    def _leave_one_out(self, texts: Sequence[str]) -> NDArray[np.float64]:
        def others(text: str) -> list[Example]:
            return [example for example in self._examples if example[0] != text]

        return self._scores(texts, others, leave_one_out=True)

    def _scores(
        self, texts: Sequence[str], examples: Callable[[str], list[Example]], *, leave_one_out: bool
    ) -> NDArray[np.float64]:
        """Return scores, shape (n, C), asking for those that are not kept yet."""
        if not texts:
            return np.empty((0, len(self.classes)))
        cache = self._find_cache(texts, examples, leave_one_out=leave_one_out)
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        rounds = range(self.endpoint.samples if self._scoring == "samples" else 1)
        asked = {f"{key}{i or ''}": (text, i) for key, text in zip(keys, texts, strict=True) for i in rounds}
        answers = cache.get_many(asked)
        missing = [key for key in asked if key not in answers]

        def ask(key: str) -> NDArray[np.float64]:
            text, i = asked[key]
            return self._ask_once(text, examples(text), i)

        with progress(
            f"asking {self._model_name}", len(asked), done=len(answers), quiet=self.quiet
        ) as advance:

            def keep(found: dict[str, NDArray[np.float64]]) -> None:
                cache.put_many(found)
                answers.update({key: vector.astype(np.float32) for key, vector in found.items()})
                advance(len(found))

            _ask_all(ask, missing, self._client, keep)
        total = np.array([sum(answers[f"{key}{i or ''}"] for i in rounds) for key in keys], dtype=np.float64)
        return score_votes(total) if self._scoring == "samples" else total

    def _find_cache(
        self, texts: Sequence[str], examples: Callable[[str], list[Example]], *, leave_one_out: bool
    ) -> VectorCache:
        """Open the store of scores; where the way of scoring is not settled yet, one text settles it."""
        settings = {
            "kind": "endpoint label scores",
            "url": self.name,
            "model": self._model_name,
            "template": self.template,
            "instruction": self._instruction_text,
            "examples": [list(example) for example in self._examples],
            "leave_one_out": leave_one_out,
            "words": self._words,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

        def store(scoring: Scoring) -> VectorCache:
            return VectorCache(self.cache, {**settings, "scoring": scoring})

        if self._scoring == "auto":
            settled: tuple[Scoring, ...] = ("logprobs", "samples")
            known = [scoring for scoring in settled if len(store(scoring))]
            self._scoring = known[0] if known else self._try_logprobs(texts[0], examples(texts[0]))
            if self._scoring == "samples":
                times = self.endpoint.samples
                _log.info("%s: gives no logprobs; each text is asked %d times", self.name, times)
        return store(self._scoring)

    def _try_logprobs(self, text: str, examples: list[Example]) -> Scoring:
        """Ask with log-probabilities; one that refuses them, or leaves them out, is sampled."""
        for _ in range(_TRIES):
            try:
                answer = self._client.ask(
                    self._messages(text, examples), self._options("logprobs"), self._budget
                )
            except RefusedError:
                return "samples"  # whatever else is wrong will be refused there too
            if answer.positions is not None:
                return "logprobs"
        return "samples"

    def _ask_once(self, text: str, examples: list[Example], number: int) -> NDArray[np.float64]:
        """Return one answer's scores, or one sample's vote, shape (C,)."""
        messages, options = self._messages(text, examples), self._options(self._scoring)
        if self._scoring == "logprobs":
            answer = self._client.ask(messages, options, self._budget, need_logprobs=True)
            return score_logprobs(answer.positions or (), self._words)
        options["seed"] = self.seed + number
        return vote(self._client.ask(messages, options, self._budget).text, self._words)

    def _options(self, scoring: Scoring) -> dict[str, Any]:
        longest = max(len(word.encode()) for word in self._words)
        options: dict[str, Any] = {"model": self._model_name, "max_tokens": 4 + longest // 2}
        if scoring == "logprobs":
            return {**options, "temperature": 0, "logprobs": True, "top_logprobs": _TOP}
        return {**options, "temperature": 1}

    def _messages(self, text: str, examples: Sequence[Example]) -> list[Message]:
        def ask(shown: str) -> str:
            return f"{self._head}{shown[: _CHARACTERS_A_TOKEN * self.max_tokens]}{self._ask}"

        chat = [{"role": "system", "content": f"{self._instruction_text} Answer with one of them alone."}]
        for shown, word in examples:
            chat += [{"role": "user", "content": ask(shown)}, {"role": "assistant", "content": word}]
        return [*chat, {"role": "user", "content": ask(text)}]

    def _announce(self, task: Task) -> None:
        """Say what the whole job is going to cost, by a token for every four bytes."""
        examples = [
            (text, self._words[0]) for text in task.take(task.train)[: self.shots * len(self.classes)]
        ]
        frame = sum(len(part["content"].encode()) for part in self._messages("", examples))
        read = sum(min(len(t.encode()), _CHARACTERS_A_TOKEN * self.max_tokens) + frame for t in task.texts)
        times = self.endpoint.samples if self.endpoint.scoring == "samples" else 1
        expected = Usage(times * read // _CHARACTERS_A_TOKEN, times * 3 * len(task.texts))
        _log.info(
            "%s: %s texts, about %s; spent before: %s",
            self.name,
            f"{len(task.texts):,}",
            self._budget.describe(expected),
            self._budget.describe(self._budget.before),
        )

    @cached_property
    def _budget(self) -> Budget:
        """What is spent on the rows that it was fitted to, and on all that it is asked afterwards."""
        name = hashlib.sha256(json.dumps([self.name, self._model_name, self._job]).encode()).hexdigest()[:32]
        return Budget(self.endpoint, Ledger(self.cache / "spending" / f"{name}.jsonl"))

    @cached_property
    def _client(self) -> Client:
        return Client(self.name, self.endpoint, seed=self.seed)

    @cached_property
    def _model_name(self) -> str:
        if self.endpoint.model is not None:
            return self.endpoint.model
        names = self._client.models()
        if len(names) != 1:
            found = f"has the models {', '.join(names[:20])}" if names else "does not tell its models"
            raise ConfigError(f"{self.name}: {found}; name one with --model")
        return names[0]


def _ask_all(
    ask: Callable[[str], NDArray[np.float64]],
    keys: Sequence[str],
    client: Client,
    keep: Callable[[dict[str, NDArray[np.float64]]], None],
) -> None:
    """Ask about every key, several at once, and keep answers as they come.

    Whatever ends it early, requests under way are waited for and kept: they are paid for.
    """
    ahead = iter(keys)
    workers = client.settings.concurrency
    client.stopped.clear()
    with ThreadPoolExecutor(workers) as executor:
        pending: dict[Future[NDArray[np.float64]], str] = {}
        try:
            while True:
                pending |= {
                    executor.submit(ask, key): key for key in islice(ahead, 2 * workers - len(pending))
                }
                if not pending:
                    return
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                keep(_answered(done, pending))
                for future in done:
                    del pending[future]
                for future in done:
                    future.result()  # raises what the request raised
        finally:
            client.stopped.set()
            for future in pending:
                future.cancel()
            keep(_answered(wait(pending).done, pending))


def _answered(
    done: Iterable[Future[NDArray[np.float64]]], keys: Mapping[Future[NDArray[np.float64]], str]
) -> dict[str, NDArray[np.float64]]:
    return {
        keys[future]: future.result()
        for future in done
        if not future.cancelled() and future.exception() is None
    }
