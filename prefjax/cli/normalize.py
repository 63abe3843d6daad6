"""`prefjax normalize`: the moments of a reward model."""

from prefjax.cli.parsers import sampling_parser


def main(argv: list[str]) -> None:
    flags = sampling_parser("normalize", "Stores with a reward model the moments of its rewards on samples.", n=1)
    flags.add_argument("--reward", required=True, metavar="REF", help="the reward model; --model is the policy")
    options = flags.parse_args(argv)
    options.frozen = {}

    from prefjax import commands

    commands.normalize(options)
