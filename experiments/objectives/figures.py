"""The figure: gold utility against KL, a panel for each family. matplotlib is the extra `plots`."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.objectives.recipes import FAMILIES
from experiments.objectives.tables import AGAINST

_STYLES = ("-", "--", ":")  # of the settings of an objective
_FARTHEST = 8.0  # nats
_ACROSS = 4  # panels


def draw(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the way of each objective from the start, a line for each setting, with that of DPO in grey."""
    from matplotlib.figure import Figure

    shown = [family for family in FAMILIES if any(row["family"] == family for row in rows)]
    down = math.ceil(len(shown) / _ACROSS)
    figure = Figure(figsize=(5 * min(len(shown), _ACROSS), 4.5 * down), layout="constrained")
    panels = figure.subplots(down, min(len(shown), _ACROSS), sharex=True, sharey=True, squeeze=False)
    for panel in panels.flat[len(shown) :]:
        panel.set_axis_off()
    for panel, family in zip(panels.flat, shown, strict=False):
        for row in rows:
            if row["objective"] == AGAINST and family != row["family"]:
                _ways(panel, row, "0.6", AGAINST)
        for at, row in enumerate(row for row in rows if row["family"] == family):
            _ways(panel, row, f"C{at}", row["objective"])
        panel.set(title=family, xlim=(-0.2, _FARTHEST))
        panel.legend(fontsize=7, loc="upper right")
        panel.grid(alpha=0.3)
    figure.supxlabel("KL to the SFT model, nats an answer")
    figure.supylabel("gold utility")
    figure.savefig(path, dpi=90)


def _ways(panel: Any, row: Mapping[str, Any], colour: str, label: str) -> None:
    for at, setting in enumerate(dict.fromkeys(point["setting"] for point in row["points"])):
        way = [point for point in row["points"] if point["setting"] == setting]
        kl, gold = ([point[name][0] for point in way] for name in ("kl", "gold"))
        panel.plot(kl, gold, _STYLES[at], marker=".", color=colour, linewidth=1, label=label if at == 0 else None)
