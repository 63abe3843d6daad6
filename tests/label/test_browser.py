"""The page in a real browser: by keys alone, at both widths, with texts that would like to run."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading

import pytest

from prefjax.label.items import items
from prefjax.label.markdown import render
from prefjax.label.server import serve
from prefjax.label.session import Session
from prefjax.label.store import opened

playwright = pytest.importorskip("playwright.sync_api")
EVIL = "</div><script>window.ran = 1</script><img src='http://evil.example/x.png' onerror='window.ran = 1'>"


def write(folder, rows, guideline=f"# Rule\n\nPrefer *true* answers. {EVIL}"):
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "guide.md").write_text(guideline)


@pytest.fixture
def label(tmp_path):
    """Serves the page from a thread of this process; gives its address."""
    with contextlib.ExitStack() as stack:

        def label(rows, scale="binary", others=(), **texts):
            write(tmp_path, rows, **texts)
            found, _ = items(str(tmp_path / "pairs.jsonl"), scale)
            store = stack.enter_context(opened(tmp_path / "out.jsonl", "Ada", scale))
            session = Session(found, store, "Ada", scale, others=others)
            server, address = serve(session, render((tmp_path / "guide.md").read_text()))
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return address

        yield label


@pytest.fixture
def command(tmp_path):
    """Starts the command in a process of its own; gives it and the address it prints."""
    processes = []

    def command(*flags):
        words = ["label", "pairs.jsonl", "--guideline=guide.md", "--annotator=Ada", "--out=out.jsonl", *flags]
        environment = os.environ | {"PYTHONPATH": os.getcwd()}
        process = subprocess.Popen(
            [sys.executable, "-m", "prefjax", *words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert " to judge, into out.jsonl. Open" in process.stdout.readline()
        return process, process.stdout.readline().strip()

    yield command
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def visit(browser):
    """Opens the page; afterwards nothing may have run, failed or been asked of another host."""
    seen, pages = [], []

    def visit(address, width=1280, height=860):
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("console", lambda message: seen.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: None if request.url.startswith(address) else seen.append(request.url))
        page.goto(address)
        page.wait_for_selector("#work:not([hidden])")
        page.wait_for_timeout(300)  # keys rest for a moment after an item appears
        return page

    yield visit
    assert [page.evaluate("window.ran") for page in pages] == [None] * len(pages)
    killed = "Failed to load resource: net::ERR_CONNECTION_REFUSED"
    assert [one for one in seen if one != killed and not one.startswith("data:")] == []
    for page in pages:
        page.close()


def press(page, key, judged):
    """Presses a key, and waits until so many are judged."""
    page.keyboard.press(key)
    playwright.expect(page.locator("#count")).to_have_text(re.compile(f"^{judged} of"))
    page.wait_for_timeout(300)


def rows_of(tmp_path, name="out.jsonl"):
    return [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]


PAIRS = [{"prompt": f"q{i} {EVIL}", "chosen": f"good {i}\n  indented {EVIL}", "rejected": f"bad {i}"} for i in range(4)]


def test_a_sitting_by_keys_alone_that_is_killed_and_goes_on(tmp_path, command, visit):
    write(tmp_path, PAIRS)
    process, address = command("--scale=graded")
    page = visit(address)
    assert page.inner_text("#prompt").endswith(EVIL)
    left, right = page.locator(".answer .text").all_inner_texts()
    page.keyboard.press("s")  # flag
    page.keyboard.press("c")  # comment, in which keys are text
    page.keyboard.type("x 1 u")
    page.keyboard.press("Escape")
    press(page, "1", 1)
    [first] = rows_of(tmp_path)
    assert (first["chosen"], first["rejected"]) == (left, right)
    assert (first["grade"], first["annotator"], first["meta"]["order"]) == (3, "Ada", [0, 1])
    assert (first["meta"]["flags"], first["meta"]["comment"]) == (["unsafe"], "x 1 u")
    assert 0.3 <= first["meta"]["seconds"] < 60
    assert not page.is_checked("[name=flag] >> nth=0")
    press(page, "x", 2)
    assert [row["event"] for row in rows_of(tmp_path, "out.jsonl.aside")] == ["cannot judge"]
    press(page, "u", 1)
    press(page, "7", 2)
    press(page, "4", 3)
    assert [row["grade"] for row in rows_of(tmp_path)] == [3, 3, 0]
    assert rows_of(tmp_path)[1]["meta"]["order"] == [1, 0]
    assert "s each" in page.inner_text("#pace")
    process.kill()
    process.wait()
    page.keyboard.press("1")
    playwright.expect(page.locator("#error")).to_contain_text("does not answer")

    process, address = command("--scale=graded")
    page = visit(address)
    assert page.inner_text("#count") == "3 of 4"
    press(page, "1", 4)
    assert page.is_visible("#done")
    page.click("#stop")
    playwright.expect(page.locator("#stopped")).to_be_visible()
    assert process.wait(10) == 0
    assert "1 judgements in this sitting; 0 to go" in process.stdout.read()
    assert sorted(row["prompt"] for row in rows_of(tmp_path)) == sorted(row["prompt"] for row in PAIRS)


def test_a_file_of_others_that_cannot_be_read_is_told_while_it_is_so(tmp_path, label, visit):
    bob = tmp_path / "bob.jsonl"
    bob.write_text("")
    page = visit(label(PAIRS, others=[str(bob)]))
    assert page.is_hidden("#error")
    bob.write_text("notes\n")
    press(page, "1", 1)
    playwright.expect(page.locator("#error")).to_have_text(re.compile("as it was before: .*bob.jsonl:1: not JSON"))
    bob.write_text("")
    press(page, "1", 2)
    assert page.is_hidden("#error")


RANKING = [{"prompt": f"q{i}", "ranking": ["one", "two", "three"]} for i in range(3)]


def test_rankings_by_keys_and_by_dragging(tmp_path, label, visit):
    page = visit(label(RANKING, "ranked"))
    texts = page.locator(".answer .text").all_inner_texts()
    for key in "212":
        page.keyboard.press(key)
    press(page, "Enter", 1)
    [row] = rows_of(tmp_path)
    assert row["ranking"][0] == texts[1]
    assert set(row["ranking"][1]) == {texts[0], texts[2]}
    texts = page.locator(".answer .text").all_inner_texts()
    for place, slot in enumerate((2, 0, 1)):
        assert page.is_disabled("#record")
        page.drag_and_drop(f".chip[data-place='{place}']", f".slot >> nth={slot}")
    page.click("#record")
    playwright.expect(page.locator("#count")).to_have_text("2 of 3")
    assert rows_of(tmp_path)[1]["ranking"] == [texts[1], texts[2], texts[0]]
    page.click("#undo")
    playwright.expect(page.locator("#count")).to_have_text("1 of 3")
    assert page.locator(".slot >> nth=0").locator(".chip").inner_text() == "B"  # as it was ranked


@pytest.mark.parametrize("scale", ["binary", "graded", "ranked"])
def test_it_fits_and_can_be_used_with_long_answers(label, visit, scale):
    long = [{"prompt": "word " * 400, "chosen": "line\n" * 300, "rejected": "x" * 4000, "slice": "s"}]
    page = visit(label(long, scale, guideline="word " * 600))
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for box in ("#prompt", ".answer >> nth=0 >> .text", ".answer >> nth=1 >> .text"):
            node = page.locator(box)
            assert node.evaluate("e => e.scrollHeight > e.clientHeight && e.clientHeight < innerHeight")
            assert node.evaluate("e => e.scrollWidth <= e.clientWidth")
        sizes = page.locator("#scale button").evaluate_all("all => all.map(e => [e.offsetWidth, e.offsetHeight])")
        assert min(min(size) for size in sizes) >= 36
    names = page.evaluate(
        "[...document.querySelectorAll('button, textarea, input, [role]')].filter(e => !e.hidden && e.offsetParent)"
        ".map(e => [e.outerHTML, (e.ariaLabel || e.textContent || e.closest('label')?.textContent || '').trim()])"
    )
    assert [html for html, name in names if not name] == [names[-1][0]]  # what is said aloud is empty at first


def test_tab_reaches_everything_and_shows_where_it_is(label, visit):
    page = visit(label(PAIRS[:1]))
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.value"
            )
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid" or page.evaluate("document.activeElement === document.body")
    assert {
        "A is better",
        "A and B are equal",
        "B is better",
        "Answer A",
        "Answer B",
        "unsafe",
        "comment",
        "skip",
        "stop",
    } <= reached


def test_colours_have_contrast_in_light_and_dark(label, visit):
    page = visit(label(PAIRS))
    ratio = """([front, back]) => {
      const style = getComputedStyle(document.documentElement);
      const light = (name) => {
        const hex = style.getPropertyValue(name).trim().slice(1);
        const full = hex.length === 3 ? [...hex].map((c) => c + c).join('') : hex;
        const parts = [0, 2, 4].map((at) => parseInt(full.slice(at, at + 2), 16) / 255);
        const linear = parts.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
      };
      const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    }"""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for front in ("--ink", "--soft", "--accent"):
            for back in ("--paper", "--sheet", "--tint"):
                assert page.evaluate(ratio, [front, back]) >= 4.5, (scheme, front, back)
        assert page.evaluate(ratio, ["--bad", "--bad-tint"]) >= 4.5
        assert page.evaluate(ratio, ["--on-accent", "--accent"]) >= 4.5
        assert page.evaluate(ratio, ["--edge", "--sheet"]) >= 3  # edges of controls
