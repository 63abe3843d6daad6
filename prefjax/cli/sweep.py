"""`prefjax sweep`: many runs of one recipe, those that differ in numbers and seeds as one program."""

import contextlib
from pathlib import Path
from typing import Any

from prefjax import interrupt
from prefjax.cli.parsers import parser
from prefjax.cli.train import parsed
from prefjax.errors import ConfigError, SweepError


def main(argv: list[str]) -> int:
    flags = parser("sweep", "Trains every run that the axes span, each in a folder of its own under --workdir.")
    flags.add_argument("--axis", action="append", default=[], metavar="PATH=VALUES", help=AXIS_HELP)
    axes_help = "a file of axes, a line each, such as configs/sweeps/dpo_beta; # begins a comment; may be given again"
    flags.add_argument("--axes", action="append", default=[], metavar="FILE", help=axes_help)
    flags.add_argument("--zip", action="store_true", help="the axes side by side instead of every combination")
    flags.add_argument("--draws", type=int, default=0, help="draw so many points instead")
    flags.add_argument("--draws_seed", type=int, default=0)
    memory_help = "of a device, on a CPU of the process, that a program may take; by default what a device has"
    flags.add_argument("--memory", type=float, metavar="GIB", help=memory_help)
    flags.add_argument("--engine", default="here", metavar="CALL", help=ENGINE_HELP)
    flags.add_argument("--workdir", required=True, help="folder of the sweep")
    flags.add_argument("--dry_run", action="store_true", help="print the runs and the programs they are, and stop")
    flags.epilog = "And of prefjax train: --config, --config.name=value, --coordinator, --processes, --process_id."
    options, rest = flags.parse_known_args(argv)

    from prefjax import axes

    over = [axis for path in options.axes for axis in axes.read(path)] + [axes.axis(text) for text in options.axis]
    if not over:
        raise ConfigError("nothing to sweep over: give --axis PATH=VALUES, such as --axis loss.beta=0.1,0.5")
    config, joining = parsed(rest)
    if joining.coordinator and options.engine != "here":
        raise ConfigError("--coordinator joins processes that are there, --engine starts some: give one of them")

    from prefjax import processes, sweep

    knobs = {"zipped": options.zip, "draws": options.draws, "seed": options.draws_seed}
    found = sweep.runs(config, over, **knobs)
    handled = contextlib.nullcontext() if joining.coordinator else interrupt.handled()
    with handled, processes.joined(joining.coordinator, joining.processes, joining.process_id):
        return _trained(found, Path(options.workdir), options)


def _trained(found: Any, folder: Path, options: Any) -> int:
    from prefjax import processes, sweep

    say = print if processes.is_first() else lambda *_: None
    parts = sweep.programs(found, folder)
    for number, part in enumerate(parts, 1):
        for run in part:
            changes = ", ".join(f"{path}={value}" for path, value in run.changes.items())
            say(f"program {number}  {run.name}  {changes}  {sweep.over(run, folder)}".rstrip())
    if options.dry_run:
        return 0
    limit = None if options.memory is None else options.memory * 2**30
    failed: SweepError | None = None
    try:
        sweep.train(found, folder, engine=options.engine, limit=limit, say=say)
    except SweepError as error:
        failed = error
    ends = processes.told([sweep.over(run, folder) for run in found])
    say(f"{ends.count('done')} of {len(found)} runs are done in {folder}, {ends.count('not finite')} not finite")
    if failed:
        raise failed
    return 4 if "not finite" in ends else 0


AXIS_HELP = "loss.beta=0.1,0.5, seed=0..3, or with --draws optim.lr=log(1e-6,1e-4); may be given again"
ENGINE_HELP = "where programs run: here, slurm or ray, or with what they need \"slurm(partition='gpu', gpus=1)\""
