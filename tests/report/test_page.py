"""The page: what stands in it, and what a browser makes of it."""

import base64
import hashlib
import json
import re
import time
from html import unescape

import pytest

from prefjax.cli import main
from prefjax.report import read, save
from prefjax.report.page import content, page
from tests.workdirs import alarm, write

NASTY = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'> & \"'"


def test_nothing_is_asked_of_anybody_and_nothing_runs_but_the_page_s_own(one):
    made = page(content([one]))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', made)
    assert policy.startswith("default-src &#x27;none&#x27;") and "unsafe" not in policy
    for name in ("style", "script"):
        (source,) = re.findall(rf"<{name}>(.*?)</{name}>", made, re.S)
        assert base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() in policy
    assert not re.search(
        r"https?:|//[a-z]|<link|<iframe|@import|url\(|\sstyle=|\son\w+=", made.replace("http-equiv", "")
    )


def test_a_page_of_a_run_has_its_seven_parts(one):
    headings = re.findall(r"<h2>(.*?)</h2>", page(content([one])))
    wanted = [
        "The six signals",
        "Reward against distance",
        "Training",
        "Slices",
        "Before and after",
        "The pairs",
        "The run",
    ]
    assert headings == wanted


@pytest.mark.parametrize(
    "files",
    [
        {"config.json": "{}"},
        {"FAILED.json": '{"error": "NonFiniteError", "message": "step 3: loss <b> not finite"}'},
        {"INTERRUPTED.json": '{"error": "Interrupted", "message": "SIGTERM: stopped after step 2"}'},
        {"metrics.jsonl": '{"step": 1, "train/loss": 0.5}\n'},
        {"metrics.jsonl": '{"step": 1, "train/loss": NaN, "train/kl": Infinity}\n'},
        {"metrics.jsonl": '{"step": 0, "eval/a/gold": NaN}\n{"step": 2, "eval/a/gold": 1.0, "eval/a/kl": 2.0}\n'},
        {"metrics.jsonl": '{"step": 0, "eval/a/reward": 1.0}\n', "samples.jsonl": '{"step": 0, "eval": "a"}\n'},
        {"run.json": "{}", "audit.json": '{"x": "<b>"}', "alarms.jsonl": '{"step": 3}\n'},
    ],
)
def test_a_workdir_in_part_is_a_page_that_says_what_is_missing(files, tmp_path):
    for name, written in files.items():
        (tmp_path / name).write_text(written)
    groups = read([tmp_path])
    made = page(content(groups))
    assert "Not measured: it takes" in made and "<b>" not in made
    assert ("Training" in made) == ('"train/loss"' in files.get("metrics.jsonl", ""))
    assert len(save(groups, tmp_path / "out")) == 2


def test_the_command_writes_and_tells(tmp_path, capsys):
    folders = [
        str(write(tmp_path / f"{beta}", beta=beta, alarms=[alarm()] if beta > 0.2 else ())) for beta in (0.1, 0.3)
    ]
    assert main(["report", folders[0]]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Gold win rate") and f"{tmp_path / '0.1' / 'report.html'} and" in out
    assert main(["report", *folders, "--table=md"]) == 0
    out = capsys.readouterr().out
    assert (
        out.startswith("| run |")
        and "epsilon 0.3: Gold win rate" in out
        and "ALARM (over-refusal from step 200)." in out
    )
    assert (tmp_path / "report.html").exists() and (tmp_path / "report.png").exists()
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith(f"prefjax report: {tmp_path / 'nowhere'} is no workdir")
    assert main(["report", folders[0], "--table=csv"]) == 2


def test_the_page_of_a_sweep_lies_in_its_folder_and_counts_what_has_not_begun(tmp_path, capsys):
    rows = [{"name": f"run{at}", "changes": {"loss.epsilon": at / 10, "seed": 0}} for at in range(4)]
    (tmp_path / "sweep.json").write_text(json.dumps({"runs": rows}))
    for at in range(3):
        write(tmp_path / f"run{at}", beta=at / 10, prompts=20)
    assert main(["report", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "1 of 4 runs have not begun, and are left out" in told and "epsilon 0.2: " in told
    assert "Grey: the frontier" in (tmp_path / "report.html").read_text()


def test_without_matplotlib_the_page_is_written_alone(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("prefjax.report.png.save", lambda *_: (_ for _ in ()).throw(ImportError()))
    assert main(["report", str(run.path), f"--out={tmp_path / 'out'}"]) == 0
    assert "pip install 'prefjax[plots]'" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.html"]


def test_no_jax_is_needed(run):
    import subprocess
    import sys

    code = "import sys; from prefjax.cli import main; main(['report', sys.argv[1]]); sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(run.path)], check=True, capture_output=True)


def test_a_hundred_thousand_logged_steps(tmp_path):
    folder = write(tmp_path / "run", steps=200_000, every=10_000, prompts=50)
    names = ("loss", "score", "kl", "length", "entropy", "grad_norm")
    with (folder / "metrics.jsonl").open("a") as file:
        for step in range(2, 200_001, 2):
            file.write(json.dumps({"step": step} | {f"train/{name}": (step * 37 % 101) / 100 for name in names}) + "\n")
    start = time.perf_counter()
    found = save(read([folder]), tmp_path)
    assert time.perf_counter() - start < 10
    assert sum(path.stat().st_size for path in found) < 3e6


def test_the_audit_is_told_as_on_the_terminal(run, tmp_path, capsys):
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"q{i} {NASTY}", "chosen": f"a{i} is right", "rejected": "no"} for i in range(60)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["audit", str(pairs), f"--out={run.path / 'audit.json'}"]) == 0
    terminal = " ".join(capsys.readouterr().out.split())
    made = page(content(read([run.path])))
    part = unescape(re.sub(r"<[^>]+>", " ", made.split("<h2>The pairs</h2>")[1].split("<h2>")[0]))
    words = [word.strip() for word in re.split(r"▲|\n|(?<=\.) ", part) if len(word.split()) > 4]
    assert len(words) > 5 and "Length" in part
    told = [word for word in words if " ".join(word.split()) in terminal]
    assert len(told) >= 5, words
    assert "<script>window" not in made


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """A page of nasty texts, opened at a width; with what went wrong, and what was asked for."""
    folder = tmp_path_factory.mktemp("page")
    rows = [alarm(words=NASTY, examples=[{"prompt": NASTY, "response": NASTY}])]
    write(folder / "run", response=NASTY, alarms=rows, model=NASTY)
    (folder / "run" / "audit.json").write_text(json.dumps({NASTY: NASTY}))
    many = [
        write(folder / f"{beta}-{seed}", seed=seed, beta=beta, prompts=60) for beta in (0.1, 0.2) for seed in (0, 1)
    ]
    save(read([folder / "run"]), folder / "run")
    save(read(many), folder / "many")
    pages = []

    def open_(name, width):
        tab = browser.new_page(viewport={"width": width, "height": 900})
        pages.append(tab)
        wrong, asked = [], []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(f"file://{folder / name / 'report.html'}")
        return tab, wrong, asked

    yield open_
    for tab in pages:
        tab.close()


@pytest.mark.parametrize("name", ["run", "many"])
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_all_is_drawn_nothing_fails_and_nothing_is_asked_for(opened, name, width):
    tab, wrong, asked = opened(name, width)
    assert wrong == [] and len(asked) == 1 and asked[0].startswith("file:")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [svg.bounding_box() for svg in tab.query_selector_all("figure svg")]
    assert len(boxes) == 6 + 1 + 3
    assert all(box["width"] > 200 and box["height"] > 100 for box in boxes)
    drawn = "[...document.querySelectorAll('figure svg')].map(s => s.querySelectorAll('path.line').length)"
    assert min(tab.evaluate(drawn)) >= 1


def test_a_script_in_a_completion_is_text(opened):
    tab, _, _ = opened("run", 1280)
    assert tab.evaluate("window.pwned") is None
    assert tab.evaluate("document.querySelectorAll('img, script:not(#data)').length") == 1
    assert "<script>window.pwned = 1</script>" in tab.inner_text(".answers")


def test_one_cursor_moves_through_all_charts_by_pointer_and_by_key(opened):
    tab, _, _ = opened("run", 1280)
    charts = tab.query_selector_all("svg.linked")
    state = (
        "[...document.querySelectorAll('svg.linked')].map(s => {const c = s.querySelector('.cursor');"
        "const {left, right} = s.dataset;"
        "return [c.classList.contains('on'), (c.getAttribute('x1') - left) / (right - left)]})"
    )
    assert not any(on for on, _ in tab.evaluate(state))
    before = tab.inner_text("figure .readout")
    box = charts[0].bounding_box()
    tab.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    places = tab.evaluate(state)
    assert all(on for on, _ in places) and max(x for _, x in places) - min(x for _, x in places) < 1e-6
    assert tab.inner_text("figure .readout") != before and "gold" in before
    tab.focus("#step")
    tab.keyboard.press("Home")
    assert [x for _, x in tab.evaluate(state)] == [0] * len(places)
    assert tab.inner_text("#told") == "0"


def test_in_print_there_is_no_colour(opened):
    tab, _, _ = opened("many", 1000)
    tab.emulate_media(media="print")
    colours = tab.evaluate(
        "[...document.querySelectorAll('svg *, .state, del, ins')].flatMap(e => {const s = getComputedStyle(e);"
        "return [s.stroke, s.fill, s.color, s.backgroundColor]})"
    )
    found = {tuple(map(float, re.findall(r"[\d.]+", colour)[:3])) for colour in colours if colour.startswith("rgb")}
    assert len(found) > 3
    assert all(max(rgb) - min(rgb) <= 6 for rgb in found), found
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1000
