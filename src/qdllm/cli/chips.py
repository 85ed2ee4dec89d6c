"""The command that runs a student on a chip: run."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from qdllm.cli.app import app
from qdllm.cli.options import AsJson, Charset, DataArgument, LabelColumn, Quiet, RunArgument, TextColumn
from qdllm.cli.printing import log_to_stderr, print_json
from qdllm.errors import ConfigError

_SHOWN = {
    "exact": "exact",
    "sampled": "with shots, no errors",
    "predicted": "expected of the calibration",
    "raw": "as measured",
    "mitigated": "mitigated",
    "zero_noise": "extrapolated to no noise",
    "adaptive": "mitigated, adaptive shots",
}


@app.command()
def run(
    run: RunArgument,
    data: DataArgument,
    backend: Annotated[
        str,
        typer.Option(
            help="statevector, noisy:baihua, noisy:FILE, aer:ideal, aer:baihua, fake:torino, braket:local, "
            "ibm:NAME, quafu:NAME or quafu-http:NAME."
        ),
    ] = "noisy:baihua",
    shots: Annotated[
        int | None, typer.Option(help="Shots of each text [1024, or the fewest above it that are allowed].")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Run only so many rows, drawn by the seed.")] = None,
    layout: Annotated[
        str | None, typer.Option(help="The chip's qubits in a connected line, comma-separated [the best].")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Leave out phases that change no product of Zs by more than this.")
    ] = 0.0,
    zero_noise: Annotated[
        bool, typer.Option("--zero-noise", help="Also extrapolate to no noise, at twice the shots.")
    ] = False,
    adaptive: Annotated[
        float | None, typer.Option(help="Also stop shots when the class is decided with this confidence.")
    ] = None,
    least_gain: Annotated[
        float | None,
        typer.Option(
            help="Also stop shots when more are expected to gain less: points of accuracy per 1,000 shots."
        ),
    ] = None,
    first: Annotated[int, typer.Option(help="Shots of the first round of --adaptive and --least-gain.")] = 8,
    repeats: Annotated[int, typer.Option(help="Measure so many times.")] = 1,
    drifts: Annotated[
        int, typer.Option(help="Also simulate so many chips that have drifted from the calibration.")
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Run on a chip although it costs something.")] = False,
    resend: Annotated[
        bool,
        typer.Option(
            "--resend", help="Send jobs again that failed, or whose fate is unknown: may pay twice."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seeds simulated shots and the choice of rows.")] = 0,
    text: TextColumn = None,
    label_column: LabelColumn = None,
    encoding: Charset = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a student on a noisy simulator or a real chip. Ctrl-C is safe: jobs are taken up again."""
    from qdllm import pipeline
    from qdllm.data import read_dataset

    log_to_stderr(quiet)
    options = pipeline.ChipOptions(
        shots=shots,
        rows=rows,
        layout=None if layout is None else _qubits(layout),
        tolerance=tolerance,
        zero_noise=zero_noise,
        adaptive=adaptive,
        least_gain=least_gain,
        first=first,
        repeats=repeats,
        drifts=drifts,
        seed=seed,
        yes=yes,
        resend=resend,
    )
    dataset = read_dataset(
        data,
        text=text or "text",
        label=label_column or "label",
        encoding=encoding or "utf-8",
        require_labels=True,
    )
    found = pipeline.run_on_chip(run, dataset, backend, options)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _qubits(words: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise ConfigError(f"--layout {words!r}: whole numbers separated by commas are needed") from error


def _print(found: dict[str, Any]) -> None:
    table = Table(
        Column("accuracy in percent [95 %]", no_wrap=True),
        "",
        "as exact",
        Column("error of ⟨Z⟩", no_wrap=True),
        caption=f"{found['n_rows']} rows, {found['shots']} shots each",
    )
    for name, title in _SHOWN.items():
        if name in found:
            one = found[name]
            low, high = 100 * one["accuracy_low"], 100 * one["accuracy_high"]
            table.add_row(
                title,
                f"{100 * one['accuracy']:.1f} [{low:.1f}, {high:.1f}]",
                f"{100 * one['agreement_with_exact']:.1f}",
                f"{one['z_rmse']:.3f}",
            )
    console = Console()
    console.print(table)
    circuit = found["circuit"]
    console.print(
        f"{circuit['two_qubit_gates']} CZs in {circuit['two_qubit_depth']} layers, where the circuit as "
        f"written has {circuit['two_qubit_gates_as_written']} in {circuit['two_qubit_depth_as_written']}."
    )
    if found["calibration"] is not None:
        about = found["calibration"]
        kind = "The chip" if found["is_real"] else "A simulated chip"
        console.print(f"{kind}: calibration {about['id']} ({about['source']}).")
    if "repeats" in found:
        low, *_, high = sorted(found["repeats"]["mitigated"])
        repeats = found["options"]["repeats"]
        console.print(f"Mitigated over {repeats} repeats: {100 * low:.1f} to {100 * high:.1f}.")
    if "drift" in found:
        low, *_, high = sorted([*found["drift"]["corrected_before"], *found["drift"]["corrected_anew"]])
        console.print(
            f"Mitigated on {found['options']['drifts']} drifted chips: {100 * low:.1f} to {100 * high:.1f}."
        )
    if "adaptive" in found:
        console.print(f"Adaptive shots: {found['adaptive']['mean_shots']:.0f} a text on average.")
