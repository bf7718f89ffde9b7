"""The page in a browser: Chromium of the system, or the one that Playwright installed; skipped without."""

import csv
import shutil

import pytest

from flowsolve.report.page import write_report

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("plotly")

#: Without these a browser asks its maker's servers things at every start.
QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as p:
        try:
            # In a container there is no user namespace for the sandbox; the page is ours.
            started = p.chromium.launch(executable_path=found, args=["--no-sandbox", *QUIET])
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")
        yield started
        started.close()


@pytest.fixture(scope="module")
def file(report_study, tmp_path_factory):
    return write_report([report_study], tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def page(browser, file):
    """The page, drawn; at the end there were no errors and no requests."""
    view = browser.new_page(viewport={"width": 1300, "height": 900})
    said, asked = [], []
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    view.on("request", lambda request: asked.append(request.url))
    view.goto(file.as_uri())
    view.wait_for_selector("html[data-ready=true]")
    yield view
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    view.close()


def rows(page):
    return page.locator("#table tbody tr").count()


def test_it_shows_all_runs_and_harmful_names_as_text(page):
    assert page.locator("h1").inner_text() == "a <b>study"
    assert rows(page) == 3
    page.locator("#table-mode").select_option("images")
    assert rows(page) == 6
    assert "<img src=x onerror=alert(1)>.png" in page.locator("#table").inner_text()
    assert page.locator("#gallery-problem").inner_text().count("<img src=x") == 1
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("#performance .plot-container").count() == 1
    assert page.locator("#failures").inner_text().count("UnsupportedError") == 1


def test_filters_hide_runs_everywhere_and_are_reset(page):
    chip = page.locator('[data-filter="solver"] .chip', has_text="adam")
    chip.focus()
    page.keyboard.press("Enter")
    assert rows(page) == 2 and page.locator("#filter-count").inner_text() == "2 of 3 runs"
    assert "adam" not in page.locator("#matrix").inner_text()
    assert page.locator('.chip[aria-pressed="false"]').inner_text() == "adam"
    page.locator("#filter-reset").click()
    assert rows(page) == 3


def test_the_table_sorts_searches_and_is_saved(page, tmp_path):
    column = page.locator('th[data-column="evaluations"] button')
    place = page.locator("#table thead th").evaluate_all(
        "heads => heads.findIndex((head) => head.dataset.column === 'evaluations')"
    )
    orders = []
    for _ in range(2):
        column.click()
        cells = page.locator(f"#table tbody tr > :nth-child({place + 1})").all_inner_texts()
        orders.append([float(cell) for cell in cells])
    assert orders[0] == sorted(orders[0], reverse=True) and orders[1] == sorted(orders[1])
    assert page.locator('th[data-column="evaluations"]').get_attribute("aria-sort") == "ascending"
    with page.expect_download() as download:
        page.locator("#table-csv").click()
    download.value.save_as(tmp_path / "runs.csv")
    with open(tmp_path / "runs.csv", newline="", encoding="utf-8") as lines:
        saved = list(csv.DictReader(lines))
    assert len(saved) == 3 and {row["solver"] for row in saved} == {"lbfgs", "adam"}
    page.locator("#table-search").fill("adam")
    assert rows(page) == 1


def test_a_run_tells_its_configuration_and_command(page):
    page.locator("#table tbody button").first.click()
    text = page.locator("#details").inner_text()
    assert "flowsolve rerun " in text and '"solver"' in text
    page.keyboard.press("Escape")
    assert not page.locator("#details").is_visible()


def test_axes_are_switched_and_pictures_enlarged(page):
    title = page.locator("#curves .xtitle")
    assert title.text_content() == "evaluations of F"
    page.locator("#curve-x").select_option("seconds")
    assert title.text_content() == "seconds"
    page.locator("#curve-y").select_option("psnr")
    assert page.locator("#curves .ytitle").text_content() == "PSNR, dB"
    page.locator("#gallery-pictures .pictures:nth-child(2) button").first.click()
    page.wait_for_function("document.querySelector('#lightbox-factor').textContent === '16×'")
    captions = page.locator("#lightbox-pictures figcaption").all_inner_texts()
    assert captions == ["restored", "truth", "error, up to 0.2"]
    page.keyboard.press("Escape")
    page.locator("#gallery-range").select_option("0.5")
    assert page.locator("#gallery-scale").inner_text().split() == ["0", "0.5", "mean", "absolute", "error"]
    page.locator("#gallery-errors").uncheck()
    assert page.locator("#gallery-scale canvas").count() == 0


def test_figures_offer_nothing_that_leaves_the_page(page):
    titles = "buttons => buttons.map((button) => button.dataset.title)"
    assert page.locator("#curves .modebar-btn").evaluate_all(titles) == [
        "Download plot as a PNG",
        "Zoom",
        "Pan",
        "Zoom in",
        "Zoom out",
        "Reset axes",
    ]


def test_profiles_go_from_edge_to_edge_and_name_only_methods_that_reach_the_target(page):
    page.locator("#profile-target").select_option(label="F within 0.01 %")
    names = page.locator("#performance + .legend span").all_inner_texts()
    drawn = "document.getElementById('performance').data.map(({ name, x, y }) => ({ name, x, y }))"
    lines = page.evaluate(drawn)
    assert [line["name"] for line in lines] == names
    assert len({line["x"][-1] for line in lines}) == 1 and {line["x"][0] for line in lines} == {1}
    assert all(line["y"][0] == 0 and 0 < line["y"][-1] == max(line["y"]) <= 1 for line in lines)
    silent = 3 - len(names)
    assert silent == 0 or f"{silent} of 3 methods never reach" in page.locator("#profile-note").inner_text()


def test_an_answer_is_a_line_a_task(page):
    first = page.locator("#answers details").first
    assert first.locator("summary").inner_text() == "Which solver for which problem?"
    assert first.locator("p > strong").inner_text().startswith("inpaint-random")
    assert first.locator("p.quiet").inner_text().startswith("(Means over images")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(scheme, browser, file):
    view = browser.new_page(viewport={"width": 380, "height": 800}, color_scheme=scheme)
    view.goto(file.as_uri())
    view.wait_for_selector("html[data-ready=true]")
    assert view.evaluate("document.documentElement.scrollWidth") <= 380
    assert view.locator("html").get_attribute("data-theme") == scheme
    view.close()
