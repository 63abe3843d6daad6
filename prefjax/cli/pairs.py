"""`prefjax pairs`: preference pairs of a model's own completions, or of rewrites."""

from prefjax.cli.parsers import REWARD_HELP, assignments, frozen_flag, sampling_parser
from prefjax.errors import ConfigError


def main(argv: list[str]) -> None:
    flags = sampling_parser("pairs", "Writes preference pairs: of a model's own completions, or of rewrites.", n=2)
    flags.add_argument("--label", metavar="REF_OR_CALL", help=REWARD_HELP)
    flags.add_argument("--judge", metavar="CALL", help="my.module:judge, or of prefjax.judges: gold, url, labels")
    flags.add_argument("--ranking", action="store_true", help="all n in order, instead of the best against the worst")
    flags.add_argument("--cut", action="store_true", help="keep completions cut at max_new")
    flags.add_argument("--rewrites", metavar="FILE", help="instead of a model: rows of a prompt, bad and good")
    flags.add_argument("--field", action="append", default=[], metavar="OURS=THEIRS", help="chosen=good, prompt=...")
    flags.add_argument("--out", required=True, help="JSON lines, which jsonl(path=...) reads")
    frozen_flag(flags)
    options = flags.parse_args(argv)
    if bool(options.model) == bool(options.rewrites):
        raise ConfigError("give --model=REF or --rewrites=FILE")
    options.frozen = assignments("--frozen", "NAME=REF", options.frozen)
    options.fields = assignments("--field", "OURS=THEIRS", options.field)

    from prefjax import commands

    commands.pairs(options)
