"""The report in a browser: its size, what it asks for and says, and what an accessibility checker finds.

    qdllm bench report --run RUN [--pictures FOLDER] [--json] [--out FOLDER]

RUN is a finished run, such as the one `qdllm demo` leaves. Its report is written in each language and opened
in a headless Chromium at the width of a desktop and of a phone, light and dark. Needs Chromium on the PATH,
and the packages playwright and axe-playwright-python. --pictures keeps what was seen, to be looked at.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import Counter
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

from qdllm.cli.printing import errors_in_one_line
from qdllm.errors import ConfigError, MissingExtraError
from qdllm.files import write_json, write_text
from qdllm.machine import describe_machine
from qdllm.pipeline import report_run

_LANGUAGES, _WIDTHS, _SCHEMES = ("en", "ja"), (1280, 390), ("light", "dark")
_MEGABYTES = 3.0
_SERIOUS = ("serious", "critical")
_DATE = "2026-01-01"


def main() -> None:
    """Measure, print the page, and write report.json and report.md."""
    parser = argparse.ArgumentParser(prog="qdllm bench report", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="a finished one")
    parser.add_argument("--pictures", type=Path, help="keep a picture of each view in this folder")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    with errors_in_one_line(), tempfile.TemporaryDirectory() as folder:
        found = measure(options.run, Path(folder), options.pictures)
    results = {
        "schema": {"name": "qdllm.bench-report", "version": 1},
        "command": f"qdllm bench report --run {options.run}",
        "machine": describe_machine("playwright", "axe-playwright-python"),
        **found,
    }
    write_json(options.out / "report.json", results)
    write_text(options.out / "report.md", as_markdown(results))
    print(json.dumps(results, indent=2) if options.json else as_markdown(results))


def measure(run: Path, folder: Path, pictures: Path | None) -> dict[str, Any]:
    """Write the report in every language, twice, and open it in every view."""
    files: dict[str, dict[str, Any]] = {}
    for language in _LANGUAGES:
        first, again = folder / f"{language}.html", folder / f"{language}-again.html"
        for page in (first, again):
            report_run(run, page, language=language, date=_DATE, quiet=True)
        files[language] = {
            "bytes": first.stat().st_size,
            "made_twice_alike": first.read_bytes() == again.read_bytes(),
        }
    return {"files": files, **look(folder, pictures)}


def look(folder: Path, pictures: Path | None) -> dict[str, Any]:
    """Open LANGUAGE.html of a folder at every width, in every scheme and language."""
    try:
        axe: Any = import_module("axe_playwright_python.sync_playwright").Axe()
        playwright: Any = import_module("playwright.sync_api")
    except ImportError as error:
        raise MissingExtraError(
            f"{error.name} is missing: pip install playwright axe-playwright-python"
        ) from error
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise ConfigError("no Chromium on the PATH: install chromium or google-chrome")
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    views = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for language, width, scheme in product(_LANGUAGES, _WIDTHS, _SCHEMES):
            picture = None if pictures is None else pictures / f"{language}-{width}-{scheme}.png"
            seen = _view(browser, axe, folder / f"{language}.html", width, scheme, picture)
            views.append({"language": language, "width": width, "scheme": scheme, **seen})
        found = {"chromium": browser.version, "views": views}
        browser.close()
    return found


def _view(
    browser: Any, axe: Any, file: Path, width: int, scheme: str, picture: Path | None
) -> dict[str, Any]:
    """Open a file once: what it says, asks for, and is found wrong with it."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, address = context.new_page(), file.resolve().as_uri()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    violations = axe.run(page).response["violations"]
    seen = {
        "console": len(said),
        "requests": len([url for url in asked if url != address]),
        "fits": page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"),
        "violations": dict(Counter(one["impact"] for one in violations)),
    }
    if picture is not None:
        page.screenshot(path=picture, full_page=True)
    context.close()
    return seen


def judge(results: dict[str, Any]) -> list[tuple[str, bool]]:
    """Hold what was found against the bars."""
    files, views = results["files"].values(), results["views"]
    serious = [view["violations"].get(impact, 0) for view in views for impact in _SERIOUS]
    return [
        (f"under {_MEGABYTES:g} MB", all(file["bytes"] < 1e6 * _MEGABYTES for file in files)),
        ("made twice, the same to the byte but for the date", all(f["made_twice_alike"] for f in files)),
        ("no request to anywhere", not any(view["requests"] for view in views)),
        ("nothing on the console", not any(view["console"] for view in views)),
        ("nothing wider than the window", all(view["fits"] for view in views)),
        ("nothing serious or critical by axe-core", not any(serious)),
    ]


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    machine = results["machine"]
    lines = [
        "# The report in a browser",
        "",
        f"Made by `{results['command']}` on {machine['date']}: Chromium {results['chromium']}, qdllm "
        f"{machine['qdllm']}. That every number in a report stands in its JSON file, in its place, is what "
        "tests/report walks.",
        "",
        "| bar | |",
        "|---|---|",
        *[f"| {bar} | {'met' if good else 'missed'} |" for bar, good in judge(results)],
        "",
        "| language | bytes |",
        "|---|---|",
        *[f"| {language} | {file['bytes']:,} |" for language, file in results["files"].items()],
        "",
        "| language | width, px | scheme | console | requests | fits | findings of axe-core |",
        "|---|---|---|---|---|---|---|",
    ]
    for view in results["views"]:
        found = ", ".join(f"{count} {impact}" for impact, count in sorted(view["violations"].items()))
        lines.append(
            f"| {view['language']} | {view['width']} | {view['scheme']} | {view['console']} | "
            f"{view['requests']} | {'yes' if view['fits'] else 'no'} | {found or 'none'} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
