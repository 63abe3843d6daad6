"""The reliability diagram."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

from prefjax.evals.calibration import judged, measure
from prefjax.evals.summary import summarise, told
from prefjax.report.groups import Group
from prefjax.report.page import content, page
from prefjax.report.reliability import reliability
from prefjax.report.runs import read
from prefjax.report.svg import alternative, draw
from tests.workdirs import write


def measured(folder, step, margins):
    """Adds the calibration of pairs whose first half is labelled as its margins say, the rest against them."""
    rows = [
        {"record": at, "slice": None, "prompt": "", "response": ""} | judged(h, float(2 * at < len(margins)))
        for at, h in enumerate(margins)
    ]
    file = folder / "eval" / f"{step}.json"
    entry = json.loads(file.read_text())
    entry["evals"] |= summarise({"sure": told(rows, lambda part: measure(part, 5))})
    file.write_text(json.dumps(entry))


@pytest.fixture
def calibrated(tmp_path):
    """A run that is less sure at the end than before, and as often right."""
    folder = write(tmp_path / "run", prompts=20)
    measured(folder, 160, [5.0] * 40)
    measured(folder, 200, [0.3, 1.0] * 20)
    return folder


def test_a_point_a_bin_at_the_last_evaluation_with_its_interval(calibrated):
    (ideal, bins) = reliability([Group("run", [read(calibrated)])]).lines
    assert ideal.x == ideal.y == [0.5, 1.0]
    assert bins.x == pytest.approx([1 / (1 + 2.718281828**-h) for h in (0.3, 1.0)])
    assert bins.y == [0.5, 0.5] and bins.low[0] < 0.5 < bins.high[0]
    assert bins.label == f"ECE {sum(bins.x) / 2 - 0.5:.3f}"


def test_a_run_that_was_rolled_back_is_drawn_as_it_ended(calibrated):
    (calibrated / "DONE").write_text(json.dumps({"step": 160, "digest": "0" * 64}))
    assert reliability([Group("run", [read(calibrated)])]).lines[1].x == pytest.approx([0.9933], abs=1e-4)


def test_settings_have_a_line_each_and_those_without_have_none(calibrated, tmp_path):
    plain = Group("plain", [read(write(tmp_path / "plain", prompts=20))])
    assert reliability([plain]) is None
    chart = reliability([plain, Group("sure", [read(calibrated)] * 2)])
    assert [line.label.partition(",")[0] for line in chart.lines] == ["as sure as right", "sure"]
    assert chart.lines[1].colour == 1 and "the first is drawn" in chart.note


def test_it_stands_on_the_page(calibrated):
    group = Group("run", [read(calibrated)])
    made, chart = page(content([group])), reliability([group])
    assert re.findall(r"<h2>(.*?)</h2>", made)[3] == "Reliability" and chart.note in made
    assert "at confidence 0.574" in alternative(chart)
    marks = [path for path in ET.fromstring(draw(chart)).iter("path") if "mark" in path.attrib.get("class", "")]
    assert len(marks) == 2
