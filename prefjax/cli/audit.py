"""`prefjax audit`: what preference pairs encode, in words and tables."""

from collections.abc import Iterator
from typing import Any

from prefjax.cli.parsers import REWARD_HELP, assignments, fields, parser
from prefjax.errors import ConfigError

_BATCH = 16  # rows scored at a time


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
    named = fields(options.field)
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
        **named,
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
    from prefjax.data import load, rows
    from prefjax.data.batches import epoch
    from prefjax.sums import is_calls

    called = is_calls(options.reward)
    if called and tokenizer is None:
        raise ConfigError("--reward is a call: give the tokenizer of its rows by --tokenizer=REF")
    tokenizer = tokenizer if called else load.tokenizer(options.reward)
    read = functools.cache(checkpoint.load)
    models = [*options.frozen.values()] if called else [options.reward]

    def score(records: list[dict[str, Any]], answers: list[str]) -> np.ndarray:
        scorer = commands.scorer(options.reward, "reward", options.frozen, read, tokenizer, records)
        room = min((read(model)[0].config.positions for model in models), default=2**31)
        asked = [{"prompt": r["prompt"], "response": text} for r, text in zip(records, answers, strict=True)]
        table, _ = rows.demos(asked, tokenizer, room)
        ids = np.pad(table.records, (0, -table.size % _BATCH), mode="edge").reshape(-1, _BATCH)
        batches: Iterator[Any] = epoch(table, _BATCH, room)
        found = [scorer(batch.sequences, at) for at, batch in zip(ids, batches, strict=True)]
        scores = np.full(len(asked), np.nan)
        scores[table.records] = np.concatenate(found)[: table.size]
        return scores

    return score
