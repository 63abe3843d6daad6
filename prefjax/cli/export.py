"""`prefjax export`: a Hugging Face folder."""

from prefjax.cli.parsers import parser


def main(argv: list[str]) -> None:
    flags = parser("export", "Writes a model as a Hugging Face folder: weights, tokenizer, chat template, stop token.")
    flags.add_argument("--model", required=True, help="Hugging Face folder, workdir or workdir@step")
    flags.add_argument("--out", required=True, help="folder to write")
    apart = "write the adapters of a run alone, in the format of peft; by default they are merged into the weights"
    flags.add_argument("--adapters", action="store_true", help=apart)
    options = flags.parse_args(argv)

    from prefjax import checkpoint, models
    from prefjax.data import load

    if options.adapters:
        from prefjax.models import peft

        model, params, lora, base = checkpoint.adapters(options.model)
        peft.save(options.out, model, params, rank=lora["rank"], alpha=lora["alpha"], base=base)
    else:
        model, params = checkpoint.load(options.model)
        models.save(options.out, model, params, extra=load.tokenizer(options.model).ids)
    load.tokenizer(options.model).save(options.out)
    kind = "SequenceClassification" if "score_head" in params["params"] else "CausalLM"
    how = f"peft.PeftModel, on {base}" if options.adapters else f"transformers.AutoModelFor{kind}"
    print(f"{options.out}: load it with {how}.from_pretrained")
