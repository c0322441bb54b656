"""The page of a profile in a browser: it renders, is searched, zoomed and used by keyboard, and says nothing wrong."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ewasm.ruleset import EWASM
from gas.meter import PARTICLES
from gas.page import page
from gas.profile import Profile
from gas.report import Labels, as_json
from node.measure import profiled
from tests.gas.pages import HOSTILE, module
from tests.gas.pages import measured as message
from tests.helpers import fixture_code
from tests.node.test_measure import CALLS, measured
from wasm.compiled import CompiledEngine
from wasm.names import printable

SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
GROW = "(drop (memory.grow (i32.const 1)))"
"""A body that costs enough to be seen."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a headless Chromium, of the system."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser on the PATH: {', '.join(NAMES)}")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=SWITCHES)
        yield running
        running.close()


class Shown:
    """A page in the browser, and what it said and asked for."""

    def __init__(self, browser: Any, path: Path, profile: Profile, title: str, **options: Any) -> None:
        labels = Labels(profile)
        self.document = as_json(profile, labels)
        path.write_text(page(profile, labels, title, [("gas used", "1,234"), ("<b>", "&amp;")]), "utf-8")
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
        )
        self.context.set_default_timeout(5_000)
        self.tab = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.tab.goto(path.as_uri())
        self.uri = path.as_uri()

    @property
    def nodes(self) -> list[Any]:
        """The nodes of the profile."""
        found: list[Any] = self.document["nodes"]
        return found

    def index(self, name: str) -> int:
        """Return the first node of a name."""
        return next(n for n, node in enumerate(self.nodes) if node["name"] == name)

    def frame(self, index: int) -> Any:
        """Return the frame of a node in the flame graph."""
        return self.tab.locator(f'#graph [data-node="{index}"]')

    def focused(self) -> str:
        """Return which node of the flame graph has the focus, or what else has."""
        found: str = self.tab.evaluate("document.activeElement.dataset.node || document.activeElement.id")
        return found

    def press(self, *keys: str) -> None:
        """Press keys, one after another."""
        for key in keys:
            self.tab.keyboard.press(key)

    def width(self, index: int) -> float:
        """Return how wide a frame is, as a part of the graph."""
        graph, frame = self.tab.locator("#graph").bounding_box(), self.frame(index).bounding_box()
        return float(frame["width"] / graph["width"])


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Return what shows a profile; at the end the page must have said nothing and asked for nothing."""
    shown: list[Shown] = []

    def open_(profile: Profile, title: str = "a run", **options: Any) -> Shown:
        shown.append(Shown(browser, tmp_path / f"{len(shown)}.html", profile, title, **options))
        return shown[-1]

    yield open_
    for each in shown:
        each.context.close()
        assert each.said == []
        assert [url for url in each.asked if not url.startswith("data:")] == [each.uri]


def nested() -> Profile:
    """Return a profile with contracts that call each other."""
    return profiled(measured(*CALLS["a call of a call"], 400_000, transaction=False), EWASM)[0]


def deep(levels: int = 40) -> Profile:
    """Return a profile of a function that calls itself."""
    code = module(
        ("main", "(call 1 (i32.const 0))"),
        ("down", f"(param i32) (if (i32.lt_u (local.get 0) (i32.const {levels})) (then (call 1 (i32.add (local.get 0) (i32.const 1)))))"),
    )  # fmt: skip
    return message(code)


def test_it_renders(show: Any) -> None:
    shown = show(nested(), "a <title> & more")
    tab = shown.tab
    assert tab.title() == "a <title> & more · gas"
    assert tab.locator("h1").inner_text() == "a <title> & more"
    assert tab.locator("#facts dd").all_inner_texts() == ["1,234", "&amp;"]
    assert tab.locator("#graph [data-node]").count() > 10
    assert tab.locator("#table tbody tr").count() == len(shown.document["summary"])
    assert tab.locator("#legend li").count() == len(shown.document["shares"])
    assert tab.locator("#listing tbody tr").count() > 5


def test_frames_are_as_wide_as_their_gas(show: Any) -> None:
    shown = show(nested())
    assert not any(node["particles"] < 0 for node in shown.nodes)
    boxes = shown.tab.locator("#graph [data-node]").evaluate_all(
        "all => all.map(e => [Number(e.dataset.node), e.getBoundingClientRect().toJSON()])"
    )
    drawn = dict(boxes)
    for index, box in boxes:
        part = shown.nodes[index]["total_particles"] / shown.document["particles"]
        assert box["width"] / drawn[0]["width"] == pytest.approx(part, abs=0.003)
        if index:
            above = drawn[shown.nodes[index]["parent"]]
            assert box["y"] > above["y"]
            assert above["x"] - 1 <= box["x"] <= box["right"] <= above["right"] + 1


def test_search_marks_counts_and_filters(show: Any) -> None:
    shown = show(nested())
    wanted = [n for n, node in enumerate(shown.nodes) if "storage" in node["name"].lower()]
    assert wanted
    shown.tab.fill("#search", "STORAGE")
    marked = shown.tab.locator("#graph .match").evaluate_all("all => all.map(e => Number(e.dataset.node))")
    assert set(marked) <= set(wanted)
    assert shown.index("storageStore") in marked
    share = sum(shown.nodes[n]["total_particles"] for n in wanted) / shown.document["particles"]
    assert shown.tab.locator("#found").inner_text() == f"{len(wanted)} found, {100 * share:.1f} % of the gas"
    rows = shown.tab.locator("#table tbody td.name").all_inner_texts()
    assert rows
    assert all("storage" in row.lower() for row in rows)
    shown.tab.locator("#search").press("Escape")
    assert shown.tab.locator("#graph .match").count() == 0
    assert shown.tab.locator("#table tbody tr").count() == len(shown.document["summary"])


def test_a_search_without_a_match(show: Any) -> None:
    shown = show(nested())
    shown.tab.fill("#search", "no such function")
    assert shown.tab.locator("#found").inner_text() == "0 found, 0.0 % of the gas"
    assert shown.tab.locator("#table tbody tr").count() == 0


def test_a_click_zooms_and_the_button_resets(show: Any) -> None:
    shown = show(nested())
    target = shown.index("storageStore")
    before = shown.width(target)
    assert shown.tab.locator("#reset").is_disabled()
    shown.frame(target).click()
    assert shown.width(target) == pytest.approx(1, abs=0.01)
    assert "storageStore" in shown.tab.locator("#detail").inner_text()
    shown.tab.click("#reset")
    assert shown.width(target) == pytest.approx(before, abs=0.01)
    assert shown.tab.locator("#reset").is_disabled()


def test_a_click_on_what_stands_above_zooms_out(show: Any) -> None:
    shown = show(nested())
    target = shown.index("storageStore")
    shown.frame(target).click()
    parent = shown.nodes[target]["parent"]
    assert shown.width(parent) == pytest.approx(1, abs=0.01)
    shown.frame(parent).click()
    assert shown.width(target) < 1


def test_the_flame_graph_by_keyboard(show: Any) -> None:
    shown = show(nested())
    shown.tab.focus("#search")
    shown.press("Tab")
    assert shown.focused() == "0", "the whole graph is one stop, the disabled button none"
    path = [0]
    for _ in range(3):
        shown.press("ArrowDown")
        below = [n for n, node in enumerate(shown.nodes) if node["parent"] == path[-1]]
        path.append(max(below, key=lambda n: shown.nodes[n]["total_particles"]))
        assert shown.focused() == str(path[-1])
    assert shown.nodes[path[-1]]["name"] in shown.tab.locator("#detail").inner_text()
    shown.press("Enter")
    assert shown.width(path[-1]) == pytest.approx(1, abs=0.01)
    assert shown.focused() == str(path[-1])
    shown.press("ArrowUp")
    assert shown.focused() == str(path[-2])
    shown.press("Escape")
    assert shown.focused() == str(path[-2])
    assert shown.tab.locator("#reset").is_disabled()
    shown.press("Home")
    assert shown.focused() == "0"
    shown.press("ArrowUp", "ArrowLeft", "ArrowRight")
    assert shown.focused() == "0"


def test_siblings_by_keyboard(show: Any) -> None:
    code = module(("main", "(call 1) (call 2) (call 2)"), ("a", GROW), ("b", GROW))
    shown = show(message(code))
    shown.frame(shown.index("main")).click()
    shown.press("ArrowDown")
    assert shown.focused() == str(shown.index("b"))
    shown.press("ArrowRight")
    assert shown.focused() == str(shown.index("a"))
    shown.press("ArrowLeft")
    assert shown.focused() == str(shown.index("b"))


def test_a_slash_leads_to_the_search(show: Any) -> None:
    shown = show(nested())
    shown.press("/")
    assert shown.focused() == "search"
    shown.press("/", "a")
    assert shown.tab.locator("#search").input_value() == "/a"


def test_code_of_a_frame_by_keyboard(show: Any) -> None:
    shown = show(nested())
    target = next(n for n, node in enumerate(shown.nodes) if node["kind"] == "function")
    shown.frame(target).focus()
    shown.press("c")
    assert shown.focused() == "code"
    node = shown.nodes[target]
    assert shown.tab.locator("#function").input_value() == f"{node['contract']} {node['function']}"


def number(text: str) -> int:
    """Return the particles that a text shows as gas."""
    whole, _, part = text.replace(",", "").partition(".")
    return int(whole) * PARTICLES + int(part)


def test_the_table_sorts(show: Any) -> None:
    shown = show(nested())
    column = shown.tab.locator("#table th", has_text="self")
    cells = "#table tbody tr td:nth-child(4)"
    assert column.get_attribute("aria-sort") == "descending"
    values = [number(text) for text in shown.tab.locator(cells).all_inner_texts()]
    assert values == sorted(values, reverse=True)
    assert sum(values) == shown.document["particles"]
    column.locator("button").focus()
    shown.press("Enter")
    assert column.get_attribute("aria-sort") == "ascending"
    assert [number(text) for text in shown.tab.locator(cells).all_inner_texts()] == sorted(values)
    shown.tab.locator("#table th", has_text="function").locator("button").click()
    names = [name.lower() for name in shown.tab.locator("#table tbody td.name").all_inner_texts()]
    assert names == sorted(names)
    assert column.get_attribute("aria-sort") is None


def test_a_function_of_the_table_leads_to_its_code(show: Any) -> None:
    shown = show(nested())
    shown.tab.locator("#table tbody button").first.click()
    assert shown.focused() == "code"


def test_gas_beside_instructions_adds_up(show: Any) -> None:
    shown = show(nested())
    rows = {(r["contract"], r["function"]): r for r in shown.document["summary"] if r["kind"] == "function"}
    values = shown.tab.locator("#function option").evaluate_all("all => all.map(e => e.value)")
    assert len(values) == len(rows)
    for value in values:
        shown.tab.select_option("#function", value)
        row = rows[tuple(map(int, value.split()))]  # type: ignore[index]  # two numbers
        texts = shown.tab.locator("#listing tbody td:nth-child(3)").all_inner_texts()
        assert sum(number(text) for text in texts if text) == row["particles"]
    never = shown.tab.locator("#listing tbody tr.never td:nth-child(2)").all_inner_texts()
    assert not any(never)


def test_lines_of_the_source_stand_above_their_instructions(show: Any) -> None:
    pytest.importorskip("elftools", reason="the extra gas is not installed")
    shown = show(message(fixture_code("lines")))
    lines = shown.tab.locator("#listing tr.source").all_inner_texts()
    assert lines
    assert all(re.search(r"lines\.c:\d+", line) for line in lines)


def test_the_call_tree_by_keyboard(show: Any) -> None:
    shown = show(nested())
    closed = shown.tab.locator("#tree details:not([open]) > summary").first
    before = shown.tab.locator("#tree .what").count()
    closed.focus()
    shown.press("Enter")
    shown.tab.wait_for_timeout(50)
    assert shown.tab.locator("#tree .what").count() > before
    first = shown.tab.locator("#tree summary").first.inner_text()
    assert f"{shown.document['particles'] // PARTICLES:,}" in first


def test_everything_can_be_opened_in_the_call_tree(show: Any) -> None:
    shown = show(nested())
    for _ in range(40):
        closed = shown.tab.locator("#tree details:not([open]) > summary")
        if not closed.count():
            break
        closed.first.click()
        shown.tab.wait_for_timeout(20)
    assert shown.tab.locator("#tree .what").count() == len(shown.nodes)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_and_nothing_else(show: Any, name: str) -> None:
    shown = show(message(module(("main", "(call 1)"), (name, GROW))), title=name)
    expected = printable(name)
    tab = shown.tab
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("h1").inner_text() == name
    assert tab.locator("img, svg").count() == 0
    assert expected in tab.locator("#table td.name").all_inner_texts()
    assert expected in tab.locator("#tree .what").all_inner_texts()
    tab.fill("#search", expected)
    assert tab.locator("#found").inner_text().startswith("1 found")
    shown.frame(shown.index(expected)).click()
    assert expected in tab.locator("#detail").inner_text()
    tab.select_option("#function", "0 0")
    assert f"call 1 {expected}" in tab.locator("#listing td.code").all_inner_texts()
    assert tab.evaluate("window.hacked") is None


@pytest.mark.parametrize("width", [320, 375, 768])
@pytest.mark.parametrize("profile", [nested, deep])
def test_narrow_screens_need_no_scrolling_sideways(show: Any, width: int, profile: Any) -> None:
    shown = show(profile(), title="0x" + "c0de" * 10, viewport={"width": width, "height": 700})
    assert shown.tab.evaluate("document.documentElement.scrollWidth") <= width
    shown.tab.set_viewport_size({"width": 1000, "height": 700})
    assert shown.width(0) == pytest.approx(1, abs=0.01)


def brightness(colour: str) -> float:
    """Return how bright a colour is, from 0 to 1 (WCAG relative luminance)."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_by_day_and_by_night(show: Any, scheme: str) -> None:
    shown = show(nested(), color_scheme=scheme)
    style = "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    text, ground = map(brightness, shown.tab.locator("body").evaluate(style))
    assert (ground > 0.8) is (scheme == "light")
    assert (ground < 0.05) is (scheme == "dark")
    quiet, _ = map(brightness, shown.tab.locator("dt").first.evaluate(style))
    pairs = [(text, ground), (quiet, ground)]
    for kind in (".frame:not(.plain)", ".frame.plain"):
        pairs.extend(
            (brightness(a), brightness(b)) for a, b in shown.tab.locator(kind).evaluate_all(f"all => all.map({style})")
        )
    for one, other in pairs:
        assert (max(one, other) + 0.05) / (min(one, other) + 0.05) >= 4.5


def test_deep_recursion_is_drawn_level_by_level(show: Any) -> None:
    shown = show(deep(1_500))
    assert shown.tab.locator("#graph [data-node]").count() == 301
    last = shown.tab.locator("#graph [data-node]").last
    level = int(last.get_attribute("aria-level"))
    last.click()
    deeper = shown.tab.locator("#graph [data-node]").evaluate_all(
        "all => Math.max(...all.map(e => Number(e.ariaLevel)))"
    )
    assert deeper > level


def test_a_failure_is_shown(show: Any) -> None:
    profile, _ = profiled(measured(*CALLS["a trap"], 90_000), EWASM)
    shown = show(profile)
    assert "integer divide by zero" in shown.tab.locator(".failure").inner_text()


def test_a_refund_has_no_width(show: Any) -> None:
    profile, _ = profiled(measured(*CALLS["a refund"], 400_000), EWASM)
    shown = show(profile)
    assert shown.width(0) == pytest.approx(1, abs=0.01)
    assert "\N{MINUS SIGN}" in shown.tab.locator("#legend").inner_text()


@pytest.mark.parametrize("name", ["a transfer", "a precompile at the top", "what is no code", "a creation of nothing"])
def test_runs_without_code_are_shown_too(show: Any, name: str) -> None:
    profile, _ = profiled(measured(*CALLS[name], 400_000), EWASM)
    shown = show(profile)
    assert shown.tab.locator("#function").inner_text().strip() == "no code ran"
    assert shown.tab.locator("#graph [data-node]").count() >= 1


def test_quick_profiles_are_shown_too(show: Any) -> None:
    profile, _ = profiled(measured(*CALLS["a call of a call"], 400_000), EWASM, quick=CompiledEngine())
    shown = show(profile)
    assert shown.tab.locator("#graph [data-node]").count() > 5
    assert shown.tab.locator("#listing tbody tr").count() > 5
