"""table.md: the arms of each study beside its first one, and beside the rule that the longer side wins."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.real.points import Point
from experiments.real.recipes import FOLDS, SEEDS, STUDIES, Study
from prefjax.evals.stats import paired

Row = Mapping[str, Any]  # of results.jsonl: an arm with its points
LONGER, EVEN = "the longer side", "even odds"
SECOND = {False: ("brier", "Brier score"), True: ("chosen", "log-prob of the chosen, nats gained")}  # is it a policy?
OF_A_POLICY = ("right by log-prob a token", "KL, nats [95 %]", "with dialogue", "tokens")
FOOT = f"""Held-out pairs of {FOLDS} folds by prompt, each scored by the models of {len(SEEDS)} seeds that were trained
on the other folds. Right: the share of pairs, of those whose label is no tie, on which the side that the label prefers
has the larger score, or of a policy the larger implicit reward. Intervals are over prompts, each the mean of its pairs
and seeds; differences are from the first arm and paired by prompt, * where p < 0.05 after the adjustment of Holm for
those of a column. Seconds are of one core, with compiling and evaluating.
"""


def table(rows: Sequence[Row]) -> str:
    """The whole file: a part for each study that has arms."""
    by_study = {name: [row for row in rows if row["study"] == name] for name in STUDIES}
    return "\n".join([*(_part(STUDIES[name], found) for name, found in by_study.items() if found), FOOT])


def _part(study: Study, rows: Sequence[Row]) -> str:
    last = {row["arm"]: row["points"][-1] for row in rows}
    first = next(iter(last.values()))
    second, title = SECOND[study.policy]
    rules = {"right": {LONGER: first["longer"]}, "brier": {EVEN: first.get("even")}}
    less = [
        _less({name: point[metric] for name, point in last.items()} | rules.get(metric, {}))
        for metric in ("right", second)
    ]
    heads = ["", "right [95 %]", "of each seed", "less", f"{title} [95 %]", "less", "picks the longer"]
    heads += [*OF_A_POLICY, "seconds"] if study.policy else ["seconds"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines.append(_line([LONGER, _told(first["longer"]), "", less[0][LONGER]], heads))
    if not study.policy:
        lines.append(_line([EVEN, "", "", "", _told(first["even"]), less[1][EVEN]], heads))
    else:
        start = rows[0]["points"][0]
        lines.append(_line(["before training", *[""] * 6, *_of_policy(start)], heads))
    for row in rows:
        name, point = row["arm"], last[row["arm"]]
        seeds = " ".join(f"{value:.3f}" for value in point["right"]["of_seeds"])
        cells = [name, _told(point["right"]), seeds, less[0][name], _told(point[second]), less[1][name]]
        cells += [f"{point['picks_longer']['mean'][0]:.3f}", *(_of_policy(point) if study.policy else ())]
        lines.append(_line([*cells, f"{row['seconds']:.0f}"], heads))
    size = f"{first['pairs']} pairs of {first['prompts']} prompts; {first['step']} steps."
    return "\n".join([f"## {study.title}\n\n{size}\n", *lines]) + "\n"


def _less(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """By how much a metric of each arm, or of a rule, which needs no training, is above the first one's."""
    values = {name: metric["by_prompt"] for name, metric in metrics.items()}
    first, *others = values
    apart = paired({name: values[name] for name in others}, values[first])
    tell = lambda gap, p: f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]{'*' if p < 0.05 else ''}"
    return {first: ""} | {name: tell(*found) for name, found in apart.items()}


def _of_policy(point: Point) -> list[str]:
    likelier, dialogue, length = (point[name]["mean"][0] for name in ("likelier", "dialogue", "length"))
    return [f"{likelier:.3f}", _told(point["kl"]), f"{dialogue:.2f}", f"{length:.0f}"]


def _told(metric: Mapping[str, Sequence[float]]) -> str:
    mean, low, high = metric["mean"]
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _line(cells: Sequence[str], heads: Sequence[str]) -> str:
    return f"| {' | '.join([*cells, *[''] * (len(heads) - len(cells))])} |"
