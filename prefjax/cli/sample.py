"""`prefjax sample`: completions of a model."""

from prefjax.cli.parsers import parser
from prefjax.errors import ConfigError


def main(argv: list[str]) -> None:
    flags = parser("sample", "Writes completions of a model, as text or as JSON lines.")
    flags.add_argument("--model", required=True, help="Hugging Face folder, workdir or workdir@step")
    flags.add_argument("--prompt", action="append", default=[], help="a prompt; may be given again")
    flags.add_argument("--source", help="prompts from a source: \"prompts(path='prompts.jsonl')\"")
    flags.add_argument("--n", type=int, default=1, help="completions of each prompt")
    flags.add_argument("--max_new", type=int, help="tokens of a completion at most; by default what fits, up to 128")
    flags.add_argument("--temperature", type=float, default=1.0, help="0 takes the most likely token")
    flags.add_argument("--top_k", type=int)
    flags.add_argument("--top_p", type=float)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--out", help="write JSON lines here instead of text to the terminal")
    options = flags.parse_args(argv)

    import json

    import jax

    from prefjax import checkpoint
    from prefjax.data import load
    from prefjax.data.lines import clean
    from prefjax.sampling.complete import complete

    records = [{"prompt": prompt} for prompt in options.prompt]
    records += load.records(options.source) if options.source else []
    if not records:
        raise ConfigError("nothing to complete: give --prompt=TEXT or --source=CALL")
    model, params = checkpoint.load(options.model)
    knobs = {k: getattr(options, k) for k in ("n", "max_new", "temperature", "top_k", "top_p")}
    answers = complete(model, params, load.tokenizer(options.model), records, jax.random.key(options.seed), **knobs)
    rows = [{"prompt": records[a.record]["prompt"], "response": a.text, "stopped": a.stopped} for a in answers]
    if options.out:
        with open(options.out, "w") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        print(f"{len(rows)} completions in {options.out}")
    for row in rows if not options.out else ():
        print(f"> {clean(str(row['prompt']))}\n{row['response']}\n")
