"""`prefjax eval`: the evaluations of a run, on any of its checkpoints."""

from prefjax.cli.parsers import assignments, parser


def main(argv: list[str]) -> None:
    flags = parser("eval", "Evaluates a checkpoint of a run, by its own evaluations or by others, into eval/STEP.json.")
    flags.add_argument("--workdir", required=True, help="of the run")
    flags.add_argument("--step", type=int, help="of the checkpoint; by default the newest")
    calls = "instead of the run's own: answers='samples(...)'; may be given again"
    flags.add_argument("--eval", action="append", default=[], metavar="NAME=CALL", help=calls)
    flags.add_argument("--out", metavar="FILE", help="write there, and not to the record of the run")
    options = flags.parse_args(argv)
    options.evals = assignments("--eval", "NAME=CALL", options.eval)

    from prefjax import evaluate

    evaluate.evaluate(options)
