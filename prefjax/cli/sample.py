"""`prefjax sample`: completions of a model."""

from prefjax.cli.parsers import sampling_parser
from prefjax.errors import ConfigError


def main(argv: list[str]) -> None:
    about = "Writes completions of a model, as text or as JSON lines. --temperature=0 takes the likeliest token."
    flags = sampling_parser("sample", about, n=1)
    flags.add_argument("--out", help="write JSON lines here instead of text to the terminal")
    options = flags.parse_args(argv)

    import jax

    from prefjax import checkpoint, commands
    from prefjax.data import load
    from prefjax.data.lines import clean, clean_lines
    from prefjax.sampling.complete import complete

    records = [{"prompt": prompt} for prompt in options.prompt]
    records += load.records(options.source) if options.source else []
    if not records:
        raise ConfigError("nothing to complete: give --prompt=TEXT or --source=CALL")
    with commands.lines(options.out) as write:
        model, params = checkpoint.load(options.model)
        knobs = {name: getattr(options, name) for name in commands.SAMPLING}
        answers = complete(model, params, load.tokenizer(options.model), records, jax.random.key(options.seed), **knobs)
        rows = [{"prompt": records[a.record]["prompt"], "response": a.text, "stopped": a.stopped} for a in answers]
        write(rows)
    if options.out:
        print(f"{len(rows)} completions in {options.out}")
    for row in rows if not options.out else ():
        print(f"> {clean(str(row['prompt']))}\n{clean_lines(row['response'])}\n")
