"""The picture."""

import pytest

from prefjax.report import png
from prefjax.report.charts import signals
from prefjax.report.frontier import frontier


def test_a_picture_of_all_charts(one, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    charts = signals([one])
    png.save(tmp_path / "a.png", "a sentence " * 30, charts, frontier([one]), (0.0, 200.0))
    png.save(tmp_path / "b.png", "t", [c._replace(lines=[], missing="x") for c in charts], None, None)
    for name, height in (("a.png", 1456), ("b.png", 858)):
        pixels = image.imread(tmp_path / name)
        assert pixels.shape[:2] == (height, 1560) and pixels.std() > 0.02
