"""One picture of the three worlds. matplotlib is the extra `plots`."""

from pathlib import Path

import numpy as np

from experiments.closed_form.training import BETAS, TAUS, distances
from prefjax.worlds import azar, goodhart


def draw(
    path: Path,
    ipo: dict[str, np.ndarray],
    dpo: dict[str, np.ndarray],
    policies: dict[str, np.ndarray],
    hacked: dict[float, goodhart.Point],
) -> None:
    """Writes the figure: training in the bandit, IPO and DPO on a total order, and reward hacking.

    Args:
      path: of the picture.
      ipo, dpo: from `azar_policies`.
      policies: by arm, from `policy_gradient`.
      hacked: where PPO stands, by beta.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)

    for name, way in policies.items():
        median = np.median(distances(way)[np.flatnonzero(BETAS == 1)[0]], axis=0)
        left.semilogy(np.maximum(median, 1e-8), label=name)
    left.set(title="Bandit, beta 1", xlabel="updates", ylabel="total variation to pi*")

    taus = np.geomspace(0.05, 2, 100)
    closed = np.array([azar.ipo_optimum(azar.DATASETS["D1"].pairs, tau) for tau in taus])
    for arm, name in enumerate("abc"):
        middle.semilogx(taus, closed[:, arm], color=f"C{arm}", label=f"IPO, closed form: {name}")
        middle.semilogx(TAUS, ipo["D1"].mean(axis=1)[:, arm], "o", color=f"C{arm}")
        middle.semilogx(TAUS, dpo["D1"].mean(axis=1)[:, arm], "x", color=f"C{arm}")
    middle.set(title="Azar's D1: o IPO, x DPO, trained", xlabel="tau or beta", ylabel="probability")

    optima = [goodhart.optimum(beta) for beta in np.geomspace(20, 0.15, 200)]
    best = [goodhart.best_of(2**i) for i in range(13)]
    trained = list(hacked.values())
    for points, style, name in ((optima, "-", "optimum at a KL"), (best, "o", "best of n"), (trained, "x", "PPO")):
        root = np.sqrt([p.kl for p in points])
        right.plot(root, [p.gold for p in points], style, color="C0", label=f"gold, {name}")
        right.plot(root, [p.proxy for p in points], style, color="C1", label=f"proxy, {name}")
    right.set(title="Goodhart", xlabel="sqrt(KL)", ylabel="reward")

    for axes in (left, middle, right):
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)
