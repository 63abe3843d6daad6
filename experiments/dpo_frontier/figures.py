"""The figure: gold reward against KL. matplotlib is the extra `plots`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.dpo_frontier.claims import GRID, draws, envelope
from experiments.dpo_frontier.points import BEST, Points

LOOKS = {
    "DPO": ("C0", "o"),
    "PPO": ("C3", "s"),
    "Preferred-FT": ("C2", "^"),
    "Unlikelihood": ("C1", "v"),
    BEST: ("k", "x"),
}


def draw(path: Path, found: Mapping[str, Points]) -> None:
    """Writes the points, means over seeds, and the envelopes with their 95 % bands, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    drawn = draws(next(iter(found.values())).values["kl"].shape[2])
    for at, (method, points) in enumerate(found.items()):
        colour, marker = LOOKS[method]
        left.plot(points.mean("kl"), points.mean("gold"), marker, color=colour, label=method, alpha=0.7, markersize=5)
        curve = envelope(points, drawn, seed=at)
        low, high = (np.quantile(curve[1:], q, axis=0) for q in (0.025, 0.975))
        right.plot(GRID, curve[0], color=colour, label=method)
        right.fill_between(GRID, low, high, color=colour, alpha=0.15, linewidth=0)
    left.set(
        title="Settings and steps, means over seeds",
        xlabel="KL to the reference, nats a completion",
        ylabel="gold reward, P(praise)",
    )
    right.set(title="Best within a KL, with 95 % bands", xlabel="KL to the reference, nats a completion")
    left.set_xlim(-0.3, 15)
    for axes in (left, right):
        axes.legend(fontsize=8, loc="lower right")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
