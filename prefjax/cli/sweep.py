"""`prefjax sweep`: many runs of one recipe, those that differ in numbers and seeds as one program."""

import math
from pathlib import Path

from prefjax import interrupt
from prefjax.cli.parsers import parser
from prefjax.cli.train import parsed
from prefjax.errors import ConfigError


def main(argv: list[str]) -> int:
    flags = parser("sweep", "Trains every run that the axes span, each in a folder of its own under --workdir.")
    flags.add_argument("--axis", action="append", default=[], metavar="PATH=VALUES", help=AXIS_HELP)
    flags.add_argument("--axes", metavar="FILE", help="a file of axes, a line each; # begins a comment")
    flags.add_argument("--zip", action="store_true", help="the axes side by side instead of every combination")
    flags.add_argument("--draws", type=int, default=0, help="draw so many points instead")
    flags.add_argument("--draws_seed", type=int, default=0)
    flags.add_argument(
        "--memory", type=float, default=math.inf, metavar="GIB", help="of a device that a program may take"
    )
    flags.add_argument("--workdir", required=True, help="folder of the sweep")
    flags.add_argument("--dry_run", action="store_true", help="print the runs and the programs they are, and stop")
    options, rest = flags.parse_known_args(argv)

    from prefjax import sweep

    axes = [*lines(options.axes), *options.axis]
    if not axes:
        raise ConfigError("nothing to sweep over: give --axis PATH=VALUES, such as --axis loss.beta=0.1,0.5")
    config, _ = parsed(rest)
    knobs = {"zipped": options.zip, "draws": options.draws, "seed": options.draws_seed}
    found, folder = sweep.runs(config, [sweep.axis(text) for text in axes], **knobs), Path(options.workdir)
    for number, group in enumerate(sweep.groups(found), 1):
        for run in group:
            changes = ", ".join(f"{path}={value}" for path, value in run.changes.items())
            print(f"program {number}  {run.name}  {changes}  {sweep.over(run, folder)}".rstrip())
    if options.dry_run:
        return 0
    with interrupt.handled():
        sweep.train(found, folder, limit=options.memory * 2**30, say=print)
    ends = [sweep.over(run, folder) for run in found]
    print(f"{ends.count('done')} of {len(found)} runs are done in {folder}, {ends.count('not finite')} not finite")
    return 4 if "not finite" in ends else 0


AXIS_HELP = "loss.beta=0.1,0.5, seed=0..3, or with --draws optim.lr=log(1e-6,1e-4); may be given again"


def lines(path: str | None) -> list[str]:
    """The axes in a file."""
    if not path:
        return []
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise ConfigError(f"--axes={path}: {error.strerror}") from None
    return [axis for line in text.splitlines() if (axis := line.partition("#")[0].strip())]
