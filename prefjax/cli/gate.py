"""`prefjax gate`: ship, hold or roll back."""

from prefjax.cli.parsers import parser


def main(argv: list[str]) -> int:
    about = "Says whether a run should replace a baseline, with reasons. Exit codes: 0 ship, 10 hold, 11 roll back."
    flags = parser("gate", about)
    flags.add_argument("workdir", help="folder of the run")
    flags.add_argument("--baseline", required=True, metavar="WORKDIR", help="folder of the run it should replace")
    flags.add_argument("--rules", metavar="FILE", help="TOML, in place of the defaults that docs/report.md gives")
    options = flags.parse_args(argv)

    from prefjax import gate
    from prefjax.report import runs

    rule = gate.rules(options.rules)
    decision = gate.gate(runs.read(options.workdir), runs.read(options.baseline), rule)
    print(decision)
    return gate.EXIT[decision.verdict]
