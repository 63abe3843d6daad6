"""The report of a run or of several, from their workdirs alone: no model, no jax.

    runs -> groups (of seeds) -> charts, slices, texts, verdict -> page (svg), png, table

Reading is in `runs`; all else are functions of what it returns.
"""

from collections.abc import Sequence
from pathlib import Path

from prefjax.files import write, writing
from prefjax.report import runs
from prefjax.report.frontier import BestOfN
from prefjax.report.groups import Group, group


def read(workdirs: Sequence[str | Path]) -> list[Group]:
    """The runs of the workdirs, or of the folders of sweeps, those that differ in their seeds together.

    Raises:
      ConfigError, DataError: as `runs.of_sweep` and `runs.read`.
    """
    paths = [path for folder in workdirs for path in runs.of_sweep(folder)[0]]
    folders = [*{path.resolve(): path for path in paths}.values()]  # `a` and `a/` are one
    bins = max(60, 400 // max(len(folders) // 2, 1))
    return group([runs.read(path, bins) for path in folders])


def save(groups: Sequence[Group], out: str | Path, best_of_n: Sequence[BestOfN] = ()) -> list[Path]:
    """Writes report.html and report.png into a folder.

    Args:
      groups: of `read`.
      out: the folder, made if missing.
      best_of_n: points beside the frontier, such as `frontier.best_of_n` reads.

    Returns:
      What was written; without matplotlib that is the page alone.

    Raises:
      DiskError: a file cannot be written.
    """
    from prefjax.report import page, png

    out = Path(out)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    found = page.content(groups, best_of_n)
    write(out / "report.html", page.page(found))
    title = found.verdicts[0].sentence if len(groups) == 1 else f"{len(groups)} settings"
    try:
        png.save(out / "report.png", title, found.signals, found.frontier, found.steps)
    except ImportError:
        return [out / "report.html"]
    return [out / "report.html", out / "report.png"]
