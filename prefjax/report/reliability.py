"""How often a run is right about pairs, by how sure it is of them: the diagram of `calibration(...)`."""

from collections.abc import Sequence

from prefjax.report.charts import SHOWN, Chart, Line
from prefjax.report.groups import Group
from prefjax.report.metrics import number
from prefjax.report.runs import Estimate, Run, estimate


def reliability(groups: Sequence[Group]) -> Chart | None:
    """The bins of pairs at the last evaluation of what runs ended with; None where they were not measured.

    A group is shown by its first run.
    """
    lines = []
    for colour, group in enumerate(groups[:SHOWN]):
        run = group.runs[0].kept
        if points := _points(run):
            error = f"ECE {number(run.track('ece')[-1][1].mean)}"
            label = error if len(groups) == 1 else f"{group.label}, {error}"
            x, y = [x for x, _ in points], [e.mean for _, e in points]
            low, high = [e.low for _, e in points], [e.high for _, e in points]
            lines.append(Line(label, "measured", x, y, low, high, bars=True, colour=colour))
    if not lines:
        return None
    notes = ["A point is a bin of pairs, with the 95 % interval of the share. Grey: as sure as right; below, too sure."]
    if any(len(group.runs) > 1 for group in groups):
        notes.append("Of several seeds the first is drawn.")
    if len(groups) > SHOWN:
        notes.append(f"The first {SHOWN} of {len(groups)} settings are drawn.")
    ideal = Line("as sure as right", "smooth", [0.5, 1.0], [0.5, 1.0], dashed=True, colour=7, named=False)
    return Chart(
        key="reliability",
        title="Share of pairs ordered as labelled against confidence",
        unit="",
        lines=[ideal, *lines],
        x_label="confidence",
        note=" ".join(notes),
    )


def _points(run: Run) -> list[tuple[float, Estimate]]:
    """(mean confidence, share that is right) of each bin that has pairs."""
    home = run.home("ece")
    told = next((entry["evals"][home] for entry in reversed(run.evaluations) if home in entry["evals"]), {})
    bins = [name.removeprefix("confidence_") for name in told if name.startswith("confidence_")]
    points = [(told[f"confidence_{k}"]["mean"], estimate(told[f"right_{k}"])) for k in bins]
    return sorted(points, key=lambda point: point[0])
