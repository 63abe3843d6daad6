"""table.md: each objective at its point nearest to one KL."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.objectives import points
from experiments.objectives.points import Point
from prefjax.evals.stats import paired

FAR = 0.5  # nats from the KL of the table beyond which a point is not compared
AGAINST = "DPO"
HEADS = (
    "objective", "setting", "step", "KL, nats", "gold utility [95 %]", "of each seed", f"less {AGAINST}'s [95 %]",
    "right facts", "refuses: wanted", "unwanted", "tokens", "seconds",
)  # fmt: skip
Row = Mapping[str, Any]  # of results.jsonl: an objective with its points


def table(rows: Sequence[Row], kl: float) -> str:
    """The objectives in the order of their recipes, the SFT model first."""
    chosen = {row["objective"]: point for row in rows if (point := points.nearest(row["points"], kl))}
    against = chosen.get(AGAINST)
    near = {name: point for name, point in chosen.items() if name != AGAINST and abs(point["kl"][0] - kl) <= FAR}
    by_prompt = {name: point["gold_by_prompt"] for name, point in near.items()}
    apart = paired(by_prompt, against["gold_by_prompt"]) if against and near else {}
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    family = ""
    if rows:
        lines.append(_line(["SFT model", "", ""], points.start(rows[0]["points"]), "", ""))
    for row in rows:
        if row["family"] != family:
            family = row["family"]
            lines.append(f"| **{family}** {'| ' * (len(HEADS) - 1)}|")
        name = row["objective"]
        if name not in chosen:
            lines.append(f"| {name} | no point: {row['failed']} {'| ' * (len(HEADS) - 2)}|")
            continue
        point, less = chosen[name], ""
        if name in apart:
            gap, p = apart[name]
            less = f"{gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]{'*' if p < 0.05 else ''}"
        elif name != AGAINST:
            less = "too far" if against else ""
        setting = f"{row['axis'].rpartition('.')[2]} {point['setting']:g}"
        lines.append(_line([name, setting, str(point["step"])], point, less, f"{row['seconds']:.0f}"))
    return "\n".join(lines) + "\n" + _foot(rows, kl)


def _line(head: list[str], point: Point, less: str, seconds: str) -> str:
    mean, low, high = point["gold"]
    cells = [
        *head,
        f"{point['kl'][0]:.2f}",
        f"{mean:.2f} [{low:.2f}, {high:.2f}]",
        " ".join(f"{value:.2f}" for value in point["gold_of_seeds"]),
        less,
        *(f"{point[name][0]:.2f}" for name in ("right", "wanted", "unwanted")),
        f"{point['length'][0]:.1f}",
        seconds,
    ]
    return f"| {' | '.join(cells)} |"


def _foot(rows: Sequence[Row], kl: float) -> str:
    words = [
        f"Each objective at the point of its settings and steps that is nearest to {kl:g} nats from the SFT model.",
        f"Those within {FAR:g} nats of it are compared with {AGAINST}, paired by prompt; * where p < 0.05 after the",
        "adjustment of Holm for all of them. Look at the settings too: a point early on at a small beta is worth less",
        "than one late at a larger beta, DPO's own as well. Seconds are of one core, with compiling and evaluating.",
    ]
    failed = [f"{row['objective']} ({row['failed']})" for row in rows if row["failed"]]
    if failed:
        words.append(f"Ended with numbers that are not finite: {'; '.join(failed)}.")
    return "\n" + "\n".join(words) + "\n"
