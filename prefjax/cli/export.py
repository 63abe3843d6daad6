"""`prefjax export`: a Hugging Face folder."""

from prefjax.cli.parsers import parser


def main(argv: list[str]) -> None:
    flags = parser("export", "Writes a model as a Hugging Face folder: weights, tokenizer, chat template, stop token.")
    flags.add_argument("--model", required=True, help="Hugging Face folder, workdir or workdir@step")
    flags.add_argument("--out", required=True, help="folder to write")
    options = flags.parse_args(argv)

    from prefjax import checkpoint, models
    from prefjax.data import load

    model, params = checkpoint.load(options.model)
    tokenizer = load.tokenizer(options.model)
    models.save(options.out, model, params, extra=tokenizer.ids)
    tokenizer.save(options.out)
    print(f"{options.out}: load it with transformers.AutoModelForCausalLM.from_pretrained")
