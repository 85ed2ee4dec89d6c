"""One progress bar for all long work: done, rate and time left, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["progress", "silence"]

_silent = False


def silence() -> None:
    """Show no bar in this process from now on."""
    global _silent  # noqa: PLW0603 - the command line's --quiet, said once
    _silent = True


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields["unit"]
        return Text("" if speed is None else f"{speed:,.1f} {unit}/s", style="progress.data.speed")


@contextmanager
def progress(
    description: str, total: int, *, unit: str = "texts", done: int = 0, quiet: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show a bar while the block runs.

    Parameters
    ----------
    description : str
        What is being done: "labelling with smollm2".
    total : int
        How many units there are in all.
    unit : str
        What one unit is, for the rate.
    done : int
        Units that an earlier run has finished already.
    quiet : bool
        Show nothing. Nothing is shown either where standard error is no terminal.

    Yields
    ------
    callable
        ``advance(n)``, to be called when `n` more units are done.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or _silent or not console.is_terminal,
    )
    with bar:
        task = bar.add_task(description, total=total, completed=done, unit=unit)
        yield lambda n: bar.update(task, advance=n)
