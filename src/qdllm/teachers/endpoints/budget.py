"""A budget that is never passed: what a request may cost at most is set aside before it is sent."""

import json
from dataclasses import dataclass
from pathlib import Path
from threading import Condition

from qdllm.errors import BudgetError
from qdllm.teachers.endpoints.settings import EndpointSettings

__all__ = ["Budget", "Ledger", "Usage"]


@dataclass(frozen=True)
class Usage:
    """Tokens of one request, or of many.

    Attributes
    ----------
    prompt, answer : int
        Tokens read and tokens written, as the server counts them.
    """

    prompt: int = 0
    answer: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.prompt + other.prompt, self.answer + other.answer)

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(self.prompt - other.prompt, self.answer - other.answer)

    @property
    def tokens(self) -> int:
        """Both kinds together."""
        return self.prompt + self.answer

    def cost(self, settings: EndpointSettings) -> float:
        """Money at the settings' prices."""
        return (self.prompt * settings.price_in + self.answer * settings.price_out) / 1e6


class Ledger:
    """What a job has cost so far, in a file: an interrupted run's spending counts in the next one.

    Parameters
    ----------
    path : Path
        A JSON line for each request; a line that a kill has cut is left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def total(self) -> Usage:
        """Add up the file."""
        found = Usage()
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    prompt, answer = json.loads(line)
                except ValueError:
                    continue
                found += Usage(prompt, answer)
        return found

    def add(self, usage: Usage) -> None:
        """Write down what a request has cost."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"[{usage.prompt}, {usage.answer}]\n")


class Budget:
    """Sets tokens aside and takes what was used, for many threads at once.

    Parameters
    ----------
    settings : EndpointSettings
        Its budgets and prices.
    ledger : Ledger
    """

    def __init__(self, settings: EndpointSettings, ledger: Ledger) -> None:
        self.settings = settings
        self.ledger = ledger
        self.before = ledger.total()
        self.spent = self.before
        self._aside = Usage()
        self._changed = Condition()

    def reserve(self, most: Usage) -> None:
        """Set aside what a request may cost at most; wait while requests under way may leave room for it.

        Raises
        ------
        BudgetError
            If the budget does not reach that far.
        """
        with self._changed:
            while not self._holds(self.spent + self._aside + most):
                if not self._aside.tokens:
                    raise BudgetError(
                        f"the budget of {self._limits()} is used up: {self.describe(self.spent)} spent, and "
                        "the next text may pass it; what was answered is kept: raise it and run again"
                    )
                self._changed.wait()
            self._aside += most

    def settle(self, most: Usage, used: Usage) -> None:
        """Give back what was set aside, and take what was used."""
        with self._changed:
            self._aside -= most
            self.spent += used
            if used.tokens:
                self.ledger.add(used)
            self._changed.notify_all()

    def describe(self, usage: Usage) -> str:
        """Say tokens, and money where there are prices."""
        money = usage.cost(self.settings)
        return f"{usage.tokens:,} tokens" + (f" ({money:,.4f} in money)" if money else "")

    def _holds(self, usage: Usage) -> bool:
        tokens, money = self.settings.budget_tokens, self.settings.budget
        return (tokens is None or usage.tokens <= tokens) and (
            money is None or usage.cost(self.settings) <= money
        )

    def _limits(self) -> str:
        tokens, money = self.settings.budget_tokens, self.settings.budget
        limits = [f"{tokens:,} tokens"] if tokens is not None else []
        limits += [f"{money:g} in money"] if money is not None else []
        return " and ".join(limits)
