"""The report and the server's page in a headless Chromium: quiet, narrow enough, and passed by axe-core.

Needs Chromium on the PATH, and the packages playwright and axe-playwright-python.
"""

import csv
import shutil

import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")

from qdllm.pipeline import RunConfig, compare_run, distill, report_run  # noqa: E402
from qdllm.serve import TextModel  # noqa: E402
from qdllm.serve.app import create_app  # noqa: E402

from .servers import running  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LANGUAGES, WIDTHS, SCHEMES = ("en", "ja"), (1280, 390), ("light", "dark")
CLASSES = ("<b>sport</b>", "سوق", "🎬 film")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    rng = np.random.default_rng(0)
    words = ("match team goal coach", "shares bank oil price", "movie actor scene plot")
    rows = [("text", "label")]
    for i in range(300):
        several = [*rng.choice(words[i % 3].split(), 3), *rng.choice(words[(i + 1) % 3].split(), 2)]
        rows.append((f"{' '.join(several)} {i} مرحبا", CLASSES[i % 3]))
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    student = {"n_qubits": 3, "epochs": 20}
    config = {"data": {"path": str(folder / "data.csv")}, "teacher": {"source": "none"}, "student": student}
    distill(RunConfig.model_validate({**config, "encoder": {"source": "tfidf"}}), folder / "run", quiet=True)
    names = ["no-circuit", "no-entanglement", "logistic-regression"]
    compare_run(folder / "run", seeds=2, budget=1, only=names, workers=1, quiet=True)
    return folder / "run"


@pytest.fixture(scope="module")
def address():
    def share_of_a(texts):
        share = np.array([text.count("a") / len(text) for text in texts])
        return np.stack([share, (1 - share) / 2, (1 - share) / 2], axis=1)

    models = {name: TextModel(name, CLASSES, share_of_a) for name in ("student", "surrogate", "teacher")}
    with running(create_app(models, name="<run>")) as found:
        yield found


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES])
def page(request, browser):
    """A page that writes down what it says and asks for."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    opened.said, opened.asked = [], []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("request", lambda asked: opened.asked.append(asked.url))
    yield opened
    context.close()


def check(page):
    """No word on the console, nothing wider than the window, nothing that axe finds serious."""
    assert page.said == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    found = axe.Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_is_quiet_and_accessible(page, run, tmp_path, language):
    report_run(run, tmp_path / "report.html", language=language, quiet=True)
    address = (tmp_path / "report.html").as_uri()
    page.goto(address)
    check(page)
    assert page.asked == [address]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_answers_and_is_accessible(page, address, language):
    page.goto(f"{address}/?lang={language}")
    check(page)
    page.fill("#texts", "aaa\nسوق <b>\n🎬")
    page.check("input[value=teacher]")
    page.click("button")
    page.wait_for_selector("#answers:not([hidden]) tbody tr:nth-child(9)")
    assert page.locator("tbody tr:nth-child(2) td:first-child").inner_text() == "سوق <b>"
    check(page)
    assert {url.removeprefix(address).partition("?")[0] for url in page.asked} >= {"/", "/predict"}
    assert all(url.startswith(address) for url in page.asked)
