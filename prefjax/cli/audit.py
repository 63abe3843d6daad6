"""`prefjax audit`: what preference pairs encode, in words and tables."""

from typing import Any

from prefjax.cli.parsers import REWARD_HELP, assignments, parser
from prefjax.errors import ConfigError

_BATCH, _MULTIPLE = 16, 64  # rows scored at a time; their width is a multiple


def main(argv: list[str]) -> None:
    flags = parser("audit", "Reads preference pairs and tells what their labels encode, and what to do about it.")
    flags.add_argument("file", metavar="PAIRS", help="what `prefjax check` reads; wildcards in quotes")
    flags.add_argument("--eval", metavar="PAIRS", help="pairs of an evaluation, whose prompts should not be trained on")
    flags.add_argument("--layout", default="pairs", help="pairs, or a reader: hh, pandalm, oasst, ultrafeedback")
    field_help = "prompt=request, or prompt=instruction+input to join two"
    flags.add_argument("--field", action="append", default=[], metavar="OURS=THEIRS", help=field_help)
    flags.add_argument("--tokenizer", help="Hugging Face folder or workdir: also count tokens")
    flags.add_argument("--max_length", type=int, help="tokens of prompt and answer that training has room for")
    flags.add_argument("--reward", metavar="REF_OR_CALL", help=f"margins by a reward: {REWARD_HELP}")
    flags.add_argument("--frozen", action="append", default=[], metavar="NAME=REF", help="models that a call names")
    flags.add_argument("--scored", type=int, default=1000, help="pairs scored by the reward at most; by default 1000")
    flags.add_argument("--sample", type=int, default=10_000, help="pairs classifiers are fitted to; by default 10000")
    flags.add_argument("--seed", type=int, default=0, help="of the folds of the classifiers")
    flags.add_argument("--out", metavar="FILE", help="the audit as JSON, such as WORKDIR/audit.json for its report")
    options = flags.parse_args(argv)
    fields = assignments("--field", "OURS=THEIRS, such as --field prompt=request", options.field)
    options.frozen = assignments("--frozen", "NAME=REF", options.frozen)

    from pathlib import Path

    from prefjax.audit import audit, sections
    from prefjax.files import write_json

    tokenizer = None
    if options.tokenizer:
        from prefjax.data import load

        tokenizer = load.tokenizer(options.tokenizer)
    found = audit(
        options.file,
        eval_path=options.eval,
        layout=options.layout,
        tokenizer=tokenizer,
        max_length=options.max_length,
        score=reward(options, tokenizer) if options.reward else None,
        scored=options.scored,
        sample=options.sample,
        seed=options.seed,
        **{ours: tuple(theirs.split("+")) if "+" in theirs else theirs for ours, theirs in fields.items()},
    )
    if options.out:
        write_json(Path(options.out), found)
    show(sections(found))


def show(parts: list[Any]) -> None:
    """Prints the sections of an audit. Texts of the file are shown as they are, but for what could steer a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from prefjax.data.lines import clean

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)
    for part in parts:
        console.print(Text(clean(part.title), style="bold"))
        for words in part.words:
            alarm = words.startswith("ALARM: ")
            console.print(Text("  " + clean(words), style="bold red" if alarm else ""))
        if part.rows:
            head, *rows = part.rows
            table = Table(box=None, header_style="dim")
            for cell in head:
                table.add_column(Text(clean(cell)))
            for row in rows:
                table.add_row(*(Text(clean(cell)) for cell in row))
            console.print(table)
        console.print()


def reward(options: Any, tokenizer: Any) -> Any:
    """The rewards of (records, answers) by the reward that a flag names; NaN where the model has no room for a row."""
    import functools

    import numpy as np

    from prefjax import checkpoint, commands
    from prefjax.data import load
    from prefjax.resolve import is_call
    from prefjax.types import Sequences

    called = is_call(options.reward)
    if called and tokenizer is None:
        raise ConfigError("--reward is a call: give the tokenizer of its rows by --tokenizer=REF")
    tokenizer = tokenizer if called else load.tokenizer(options.reward)
    read = functools.cache(checkpoint.load)
    models = [*options.frozen.values()] if called else [options.reward]

    def score(records: list[dict[str, Any]], answers: list[str]) -> np.ndarray:
        scorer = commands.scorer(options.reward, "reward", options.frozen, read, tokenizer, records)
        room = min((read(model)[0].config.positions for model in models), default=2**31)
        rows = [tokenizer.encode_response(r["prompt"], text) for r, text in zip(records, answers, strict=True)]
        sizes = np.array([len(row.prompt) + len(row.response) for row in rows])
        scores = np.full(len(rows), np.nan)
        fitting = np.flatnonzero(sizes <= room)
        for batch in np.array_split(fitting[np.argsort(sizes[fitting])], -(-len(fitting) // _BATCH) or 1):
            if not len(batch):
                break
            ids = np.pad(batch, (0, _BATCH - len(batch)), mode="edge")
            width = min(-(-int(sizes[batch].max()) // _MULTIPLE) * _MULTIPLE, room)
            tokens, place = np.zeros((_BATCH, width), np.int32), np.arange(width)
            for at, i in enumerate(ids):
                tokens[at, : sizes[i]] = rows[i].prompt + rows[i].response
            valid = place < sizes[ids, None]
            response = valid & (place >= np.array([len(rows[i].prompt) for i in ids])[:, None])
            found = scorer(Sequences(tokens, valid, response), ids.astype(np.int32))  # ty: ignore[invalid-argument-type]
            scores[batch] = np.asarray(found, float)[: len(batch)]
        return scores

    return score
