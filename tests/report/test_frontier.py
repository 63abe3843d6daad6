"""Reward against distance."""

import json
import math

import pytest

from prefjax.errors import DataError
from prefjax.report.frontier import best_of_n, frontier
from prefjax.report.groups import Group, group
from prefjax.report.runs import read
from prefjax.report.svg import draw
from tests.workdirs import write


@pytest.fixture
def groups(tmp_path):
    return group(
        [
            read(write(tmp_path / f"{kl}{seed}", seed=seed, beta=kl / 100, kl=kl, gold=gold, prompts=40))
            for kl, gold in ((4.0, 1.5), (30.0, 2.5))
            for seed in (0, 1)
        ]
    )


def test_a_curve_a_group_and_a_twin_of_its_proxy(groups):
    chart = frontier(groups)
    assert [(line.label, line.kind) for line in chart.lines] == [
        ("epsilon 0.04", "measured"),
        ("epsilon 0.04, proxy", "twin"),
        ("epsilon 0.3", "measured"),
        ("epsilon 0.3, proxy", "twin"),
    ]
    kl = groups[0].track("kl")[-1][1].mean
    assert chart.lines[0].x[-1] == pytest.approx(kl**0.5)
    assert chart.walls == [(10**0.5, "budget 10", "budget")]


def test_the_frontier_of_many_settings_is_what_none_exceeds_nearer_by(tmp_path):
    ways = [(kl, gold) for kl, gold in ((2.0, 0.9), (4.0, 1.9), (6.0, 1.2), (9.0, 2.4))]
    runs = [read(write(tmp_path / str(kl), beta=kl / 100, kl=kl, gold=gold, prompts=40)) for kl, gold in ways]
    chart = frontier(group(runs))
    (front,) = (line for line in chart.lines if line.label == "frontier")
    points = [(x, y) for line in chart.lines if line.kind == "measured" for x, y in zip(line.x, line.y, strict=True)]
    beaten = lambda x, y: any(a <= x and b > y for a, b in points)
    assert set(zip(front.x, front.y, strict=True)) == {point for point in points if not beaten(*point)}
    assert list(front.y) == sorted(front.y) and len(front.x) < len(points)
    assert "Grey: the frontier" in chart.note and chart.lines[0].low is not None
    many = frontier([Group(str(at), [runs[at % 4]]) for at in range(8)])
    assert all(line.low is None for line in many.lines) and "in the table" in many.note


def test_the_star_stands_inside_the_budget(groups):
    x, y, words = frontier(groups).star
    inside = [
        (b, a)
        for line in frontier(groups).lines
        if line.kind == "measured"
        for a, b in zip(line.x, line.y, strict=True)
        if a * a <= 10
    ]
    assert (y, x) == max(inside)
    assert words.startswith("best within the budget: epsilon ")


def test_what_is_not_finite_is_no_point(groups):
    run = groups[0].runs[0]
    nan = {"mean": float("nan")}
    wrong = lambda entry, name: entry | {"evals": {"answers": entry["evals"]["answers"] | {name: nan}}}
    first, second, *rest = run.evaluations
    entries = [wrong(first, "kl"), wrong(second, "gold"), *rest]
    config = {name: value for name, value in run.config.items() if not name.startswith("budget.")}
    chart = frontier([Group("a", [run._replace(evaluations=entries, config=config)])])
    assert [len(line.x) for line in chart.lines] == [4, 5]  # gold, and its proxy
    assert all(math.isfinite(value) for value in chart.star[:2]) and "NaN" not in draw(chart).replace("nan", "NaN")


def test_best_of_n_stands_at_its_bound(groups):
    chart = frontier(groups, [(1.8, 1.2, 2.1, 16), (0.3, 0.5, 1.0, 2)])
    gold, proxy = chart.lines[-2:]
    assert (gold.label, list(gold.y), proxy.label, list(proxy.y)) == (
        "best of n",
        [1.0, 2.1],
        "best of n, proxy",
        [0.5, 1.2],
    )
    assert gold.x[1] == pytest.approx(1.8**0.5)


def test_two_points_are_no_frontier(tmp_path):
    assert frontier(group([read(write(tmp_path / "run", every=200))])) is None


def test_a_record_of_best_of_n(tmp_path):
    path = tmp_path / "best.jsonl"
    rows = [{"kl_bound": 1.8, "score": s, "gold": g, "n": 16} for s, g in ((1.0, 2.0), (3.0, 5.0))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert best_of_n(path) == (1.8, 2.0, 3.5, 16)
    path.write_text('{"score": 1}\n')
    with pytest.raises(DataError, match=r"best.jsonl:1: not a row of `prefjax best-of-n --keep=best`: no 'kl_bound'"):
        best_of_n(path)
    path.write_text('{"kl_bound": 1.8, "score": NaN, "n": 16}\n')
    with pytest.raises(DataError, match=r"best.jsonl:1: .*: score is nan"):
        best_of_n(path)
    with pytest.raises(DataError, match="No such file"):
        best_of_n(tmp_path / "none.jsonl")
