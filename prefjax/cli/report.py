"""`prefjax report`: the page of a run, or of several."""

import os
import sys
from pathlib import Path

from prefjax.cli.parsers import parser
from prefjax.errors import ConfigError


def main(argv: list[str]) -> None:
    flags = parser("report", "Writes report.html and report.png from the files of runs, and says what became of them.")
    flags.add_argument(
        "workdir",
        nargs="+",
        help="folders of runs, or of sweeps; runs that differ in their seeds are taken together",
    )
    flags.add_argument("--out", help="folder to write into; by default the workdir, of several what they lie in")
    flags.add_argument("--table", help="md or latex: also print the runs side by side")
    best = "a file that `prefjax best-of-n --out` wrote, for the chart of reward against distance; may be given again"
    flags.add_argument("--best_of_n", action="append", default=[], metavar="FILE", help=best)
    options = flags.parse_args(argv)
    if options.table not in (None, "md", "latex"):
        raise ConfigError(f"--table={options.table}; it should be md or latex")

    from prefjax import report
    from prefjax.report import frontier, runs, table, verdict

    groups = report.read(options.workdir)
    folders = [*{Path(path).resolve(): Path(path).absolute() for path in options.workdir}.values()]
    out = Path(options.out or (folders[0] if len(folders) == 1 else os.path.commonpath(folders)))
    written = report.save(groups, out, [frontier.best_of_n(path) for path in options.best_of_n])
    if options.table:
        print({"md": table.markdown, "latex": table.latex}[options.table](groups))
    for path in options.workdir:
        begun, waiting = runs.of_sweep(path)
        if waiting:
            print(f"{path}: {waiting} of {len(begun) + waiting} runs have not begun, and are left out")
    for group in groups:
        print(f"{f'{group.label}: ' if len(groups) > 1 else ''}{verdict.verdict(group).sentence}")
    print(" and ".join(map(str, written)))
    if len(written) == 1:
        print("report.png was left out: it needs matplotlib, pip install 'prefjax[plots]'", file=sys.stderr)
