"""`prefjax check`: the form of a file."""

from prefjax.cli.parsers import fields, parser


def main(argv: list[str]) -> int:
    flags = parser("check", "Reads a file and prints counts and every problem. Exit 3 when a row is refused.")
    flags.add_argument("file", help=".jsonl, .jsonl.gz, .parquet, a saved data set, or wildcards in quotes")
    field_help = "prompt=request, or prompt=instruction+input to join two"
    flags.add_argument("--field", action="append", default=[], metavar="OURS=THEIRS", help=field_help)
    flags.add_argument(
        "--layout", default="pairs", help="pairs, demos, unpaired, steps, texts, prompts, or a reader such as hh"
    )
    flags.add_argument("--tokenizer", help="Hugging Face folder or workdir: also count tokens")
    flags.add_argument("--max_length", type=int, help="tokens a row may have")
    options = flags.parse_args(argv)
    named = fields(options.field)

    from prefjax.data.check import check

    tokenizer = None
    if options.tokenizer:
        from prefjax.data import load

        tokenizer = load.tokenizer(options.tokenizer)
    report = check(options.file, tokenizer, options.max_length, layout=options.layout, **named)
    print(report)
    return 3 if report.refused else 0
