"""The documentation says what is so: links, Python, commands and their options."""

import ast
import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

from qdllm.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
RUNNABLE = "<!-- runnable -->\n"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]


class Block(NamedTuple):
    language: str
    content: str
    runnable: bool
    output: str  # of the text block that follows, where the block is runnable


def _blocks(page: Path) -> list[Block]:
    source = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(source):
        runnable = source[: match.start()].endswith(RUNNABLE)
        after = re.match(r"\n```text\n(.*?)^```\n", source[match.end() :], re.MULTILINE | re.DOTALL)
        found.append(Block(match[1], match[2], runnable, after[1] if runnable and after else ""))
    return found


def _anchors(page: Path) -> set[str]:
    """The names that GitHub and static sites give to headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _calls(page: Path) -> Iterator[list[str]]:
    """The words of every command in a shell block or a code span."""
    lines = []
    for block in _blocks(page):
        if block.language in ("bash", "console"):
            lines += block.content.replace("\\\n", " ").splitlines()
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    lines += [span for span in re.findall(r"`([^`\n]+)`", prose) if span.startswith(("qdllm ", "make "))]
    for line in lines:
        if words := shlex.split(line.removeprefix("$ "), comments=True):
            yield words


def _page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_page_name)
def test_every_relative_link_leads_somewhere(page):
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), target
        assert linked.is_relative_to(ROOT), target
        assert not anchor or anchor in _anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=_page_name)
def test_python_compiles_and_what_is_runnable_prints_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in _blocks(page):
        if block.language != "python":
            continue
        tree = ast.parse(block.content, filename=str(page))
        if block.runnable:
            said = io.StringIO()
            with redirect_stdout(said):
                exec(compile(tree, str(page), "exec"), names)  # the page's blocks share their names
            assert said.getvalue() == block.output


@pytest.mark.parametrize("page", PAGES, ids=_page_name)
def test_every_command_and_option_exists(page):
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for tool, *words in _calls(page):
        if tool == "make":
            assert set(words) <= targets, words
        if tool == "qdllm" and words[0] not in ("--help", "--version"):
            _check_call(*words)


def _check_call(name: str, *words: str) -> None:
    assert name in COMMANDS, name
    if not words:  # the command is named, not called
        return
    context = COMMANDS[name].make_context(name, list(words))  # raises on what the command line refuses
    if name == "bench":  # options after a benchmark's name are its own
        script = (ROOT / "benchmarks" / f"{words[0].replace('-', '_')}.py").read_text(encoding="utf-8")
        if "add_task_options" in script:  # those that several benchmarks share
            script += (ROOT / "benchmarks" / "comparison.py").read_text(encoding="utf-8")
        for option in context.args[::2]:
            assert f'add_argument("{option}"' in script, option


def test_the_readme_lists_every_command():
    listed = re.findall(r"^\| `qdllm (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def test_the_readme_has_a_place_for_results():
    source = (ROOT / "README.md").read_text(encoding="utf-8")
    assert source.count("<!-- results:begin -->") == source.count("<!-- results:end -->") == 1
    assert source.index("<!-- results:begin -->") < source.index("<!-- results:end -->")


def test_every_page_can_be_reached_from_the_readme():
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        seen.add(page)
        targets = re.findall(r"\]\(([^)\s#:]+\.md)", page.read_text(encoding="utf-8"))
        ahead += [path for target in targets if (path := (page.parent / target).resolve()) not in seen]
    results = {page for page in PAGES if page.parent.name == "results"}  # reached through tables of commands
    assert set(PAGES) - results <= seen
