"""`prefjax best-of-n`: the best of n completions by a reward."""

from prefjax.cli.parsers import REWARD_HELP, assignments, frozen_flag, sampling_parser


def main(argv: list[str]) -> None:
    flags = sampling_parser("best-of-n", "Samples n completions of each prompt and keeps the best by a reward.", n=16)
    flags.add_argument("--reward", required=True, metavar="REF_OR_CALL", help=REWARD_HELP)
    flags.add_argument("--gold", metavar="REF_OR_CALL", help="another reward: its value at the best by --reward")
    flags.add_argument("--keep", choices=["best", "above"], default="best", help="or all of at least --threshold")
    flags.add_argument("--threshold", type=float)
    flags.add_argument("--finished", action="store_true", help="keep none that is blank or was cut at max_new")
    flags.add_argument("--texts", action="store_true", help="write the texts of all completions too")
    flags.add_argument("--times", action="store_true", help="measure the seconds of a query for every n, one at a time")
    flags.add_argument("--out", help="JSON lines, which demos(path=...) reads")
    frozen_flag(flags)
    options = flags.parse_args(argv)
    options.frozen = assignments("--frozen", "NAME=REF", options.frozen)

    from prefjax import commands

    commands.best_of_n(options)
