"""Commands that look closer: compare, search, inspect, bench."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

import qdllm
from qdllm.cli.app import app
from qdllm.cli.options import (
    AsJson,
    Charset,
    ConfigFile,
    DataArgument,
    EncoderSpec,
    FeaturesFile,
    GroupColumn,
    LabelColumn,
    LabelsFile,
    LabelsPerClass,
    Quiet,
    RayAddress,
    RunArgument,
    Seed,
    TeacherMode,
    TeacherSpec,
    TestData,
    TextColumn,
    data_section,
)
from qdllm.cli.printing import log_to_stderr, print_comparison, print_json, print_report
from qdllm.errors import ConfigError


@app.command()
def compare(
    run: RunArgument,
    seeds: Annotated[int, typer.Option(help="Splits of the run's rows; the first is its own.")] = 5,
    budget: Annotated[int, typer.Option(help="Settings that each model may try.")] = 4,
    groups: Annotated[
        str, typer.Option("--with", help="What to compare with, comma-separated: controls, baselines.")
    ] = "controls",
    only: Annotated[
        str | None, typer.Option(help="Models by name, comma-separated, in the place of groups.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A Hugging Face model to fine-tune beside them; may be repeated."),
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Train every model on at most so many rows.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes [one a core, at most 8].")] = None,
    ray: RayAddress = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Set the student beside controls and baselines. Ctrl-C is safe: the same command goes on."""
    from qdllm import pipeline

    log_to_stderr(quiet)
    found = pipeline.compare_run(
        run,
        seeds=seeds,
        budget=budget,
        groups=_names(groups),
        only=_names(only or ""),
        models=model or (),
        rows=rows,
        workers=workers,
        ray=ray,
        quiet=quiet,
    )
    print_comparison(found, run, as_json=as_json)


@app.command()
def search(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="The folder of the search.")],
    trials: Annotated[int, typer.Option(help="Designs to try in all, earlier calls counted.")] = 60,
    timeout: Annotated[float | None, typer.Option(help="Start no design later than so many minutes.")] = None,
    teacher: TeacherSpec = None,
    mode: TeacherMode = None,
    encoder: EncoderSpec = None,
    labels: LabelsFile = None,
    features: FeaturesFile = None,
    test: TestData = None,
    text: TextColumn = None,
    label_column: LabelColumn = None,
    group: GroupColumn = None,
    encoding: Charset = None,
    labels_per_class: LabelsPerClass = None,
    config: ConfigFile = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Search for an accurate and cheap circuit. Ctrl-C is safe: the same command goes on.

    What [student] in --config sets stays as it is; everything else is searched.
    """
    from qdllm import pipeline

    log_to_stderr(quiet)
    settings = pipeline.RunConfig.from_toml(
        config,
        {
            "seed": seed,
            "data": data_section(data, test, text, label_column, group, encoding, labels_per_class),
            "teacher": {"source": teacher, "mode": mode, "labels": labels},
            "encoder": {"source": encoder, "features": features},
        },
    )
    found = pipeline.search(settings, out, trials=trials, minutes=timeout, quiet=quiet)
    if as_json:
        print_json(found)
    else:
        Console().print(Markdown((out / "search.md").read_text(encoding="utf-8")))


@app.command()
def inspect(
    target: Annotated[
        str | None, typer.Argument(metavar="RUN|ANSATZ", help="A run, a saved student, or an ansatz by name.")
    ] = None,
    qubits: Annotated[int | None, typer.Option(help="Number of qubits of an ansatz [11].")] = None,
    layers: Annotated[int | None, typer.Option(help="Number of layers of an ansatz [2].")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Draw into a file: .png, .svg, .pdf, or text in any other.")
    ] = None,
    formula: Annotated[
        bool, typer.Option("--formula", help="Also what a trained student's formula says about it.")
    ] = False,
    plots: Annotated[
        Path | None, typer.Option(help="Draw the formula's terms, spectrum, ranks and so on into a folder.")
    ] = None,
    engine: Annotated[bool, typer.Option("--engine", help="Tell what simulates circuits here.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a circuit comes to, and draw it."""
    from qdllm import pipeline
    from qdllm.simulate import available_engines

    if (target is None) != engine:
        raise ConfigError("give either RUN or the name of an ansatz, or --engine")
    if target is None:
        print_report(available_engines(), as_json=as_json)
        return
    circuit, report = pipeline.inspect_circuit(target, qubits, layers)
    if out is not None:
        pipeline.save_drawing(circuit, out)
        report["drawing"] = str(out)
    if formula or plots is not None:
        report["formula"] = pipeline.inspect_formula(target)
        if plots is not None:
            report["plots"] = [str(path) for path in pipeline.save_plots(report["formula"], plots)]
    if as_json:
        print_json(report)
        return
    typer.echo(pipeline.describe_circuit(report))
    if "formula" in report:
        typer.echo(pipeline.describe_structure(report["formula"]))
    if out is None:
        typer.echo(f"\n{circuit.draw(Console().width)}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which; a list of them without a name.")] = None,
) -> None:
    """Run a benchmark of the repository; options after NAME are its own."""
    folder = Path(qdllm.__file__).parents[2] / "benchmarks"
    scripts = {path.stem.replace("_", "-"): path for path in sorted(folder.glob("[!_]*.py"))}
    if not scripts:
        raise ConfigError("no benchmarks here: they come with the repository, installed by `make setup`")
    if name is None:
        for known, path in scripts.items():
            typer.echo(f"{known}: {ast.get_docstring(ast.parse(path.read_text()))!s}".split("\n")[0])
        return
    if name not in scripts:
        raise ConfigError(f"no benchmark {name!r}; there are {', '.join(scripts)}")
    raise typer.Exit(subprocess.run([sys.executable, scripts[name], *context.args], check=False).returncode)


def _names(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]
