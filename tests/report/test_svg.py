"""Charts as SVG."""

import re
import xml.etree.ElementTree as ET

from prefjax.report.charts import Chart, Line, signals
from prefjax.report.svg import alternative, draw


def test_every_chart_is_well_formed_and_says_in_words_what_it_shows(one):
    for chart in signals([one]):
        root = ET.fromstring(draw(chart))
        assert root.attrib["role"] == "img" and root.attrib["aria-label"].startswith(chart.title)
        assert root.find("desc").text == alternative(chart)
        numbers = [float(x) for path in root.iter("path") for x in re.findall(r"-?\d+\.?\d*", path.attrib["d"])]
        assert all(-10 <= x <= 400 for x in numbers)
        marks = [p for p in root.iter("path") if "mark" in p.attrib.get("class", "")]
        assert len(marks) == 6 * sum(line.kind == "measured" for line in chart.lines)


def test_no_style_attribute_that_a_content_policy_would_block(one):
    assert not any(re.search(r"style=|onload|href", draw(chart)) for chart in signals([one]))


def test_gaps_and_lone_points_and_far_limits():
    nan = float("nan")
    lines = [
        Line(
            "a<b",
            "measured",
            [0, 1, 2, 3],
            [1.0, nan, 2.0, None],
            [0.5, nan, nan, None],
            [2, nan, nan, None],
            bars=True,
        )
    ]
    chart = Chart("kl", "KL", "nats", lines, levels=[(1000.0, "budget", "budget")])
    made = draw(chart)
    assert "budget 1000 ↑" in made and "a&lt;b" in made and "nan" not in made
    ET.fromstring(made)


def test_a_name_that_is_too_long_is_cut_and_whole_in_its_title():
    lines = [Line("a-name-that-is-longer-than-there-is-room-for", "measured", [0, 1], [1.0, 2.0])]
    made = draw(Chart("win", "t", "", lines))
    assert "…</text>" in made and "<title>a-name-that-is-longer-than-there-is-room-for</title>" in made
