"""The command line: `prefjax COMMAND --help`. jax and its friends are imported by the command that needs them."""

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prefjax import __version__, files, host, interrupt
from prefjax.errors import ConfigError, PrefjaxError
from prefjax.resolve import nearest

USAGE = """\
usage: prefjax COMMAND [options]

  train    train as a config says:  prefjax train --config=configs/dpo.py[:arg] --workdir=DIR [--config.x=y] [--dry_run]
  sample   write completions:       prefjax sample --model=REF --prompt="Why did retries rise?"
  best-of-n  choose by a reward:    prefjax best-of-n --model=REF --reward=REF_OR_CALL --n=16 --prompt=... [--out=FILE]
  pairs    from the model itself:   prefjax pairs --model=REF --source=CALL --label=REF_OR_CALL --out=FILE
  normalize  a reward model:        prefjax normalize --reward=REF --model=REF --source=CALL
  export   to a Hugging Face folder: prefjax export --model=REF --out=DIR
  check    judge a pair file:       prefjax check FILE [--layout=demos] [--field prompt=request] [--tokenizer=REF]
  prepare  a TensorFlow dataset:    prefjax prepare --source="pairs(path='pairs.jsonl')" --out=DIR
  doctor   versions, devices and a smoke step

REF is a Hugging Face folder, a workdir (its newest checkpoint) or workdir@step.
Exit codes: 0 ok, 2 usage or config, 3 data, 4 non-finite numbers, 5 checkpoint, 6 workdir locked, 7 disk,
130 SIGINT, 143 SIGTERM; after the last two, as after a kill, the same command goes on.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code. A mistake of the user is one message on standard error."""
    command, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if command == "--version":
        print(f"prefjax {__version__}")
        return 0
    host.keep_memory()
    sys.path.insert(0, "")  # "experiments.mine.loss:my_loss" is found from the working folder
    try:
        if command not in COMMANDS:
            raise ConfigError(f"no command {command!r}; there are {', '.join(COMMANDS)}")
        return COMMANDS[command](rest) or 0
    except PrefjaxError as error:
        print(f"prefjax {command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        print(f"prefjax {command}: {error or 'interrupted'}", file=sys.stderr)
        return getattr(error, "exit_code", 130)


def _train(argv: list[str]) -> None:
    config, options = _config_flags(argv)
    if options.dry_run:
        from prefjax import plan, processes

        with processes.joined(options.coordinator, options.processes, options.process_id):
            text = plan.describe(config)
            if processes.is_first():
                print(text)
        return
    if not options.workdir:
        raise ConfigError("--workdir=DIR is needed: the folder of the run")
    alone = not options.coordinator
    with interrupt.handled() if alone else contextlib.nullcontext():
        if alone and "jax" not in sys.modules:
            with files.locked(Path(options.workdir)):
                pass  # a workdir in use is refused before the seconds that jax takes to import
        from prefjax import processes, train

        with processes.joined(options.coordinator, options.processes, options.process_id):
            train.train(config, options.workdir)


def _config_flags(argv: list[str]) -> tuple[Any, Any]:
    """The config with its overrides, locked, and the other flags of `prefjax train`."""
    from absl import flags
    from ml_collections import config_flags

    values, full = flags.FlagValues(), ["prefjax train", *argv]
    recipe = [word for word in argv if re.match(r"--?config=", word)]
    if argv != recipe and recipe:
        _refuse_unknown_settings(_config_flags(recipe)[0], argv)
    config_flags.DEFINE_config_file("config", help_string="Recipe, with [:arg].", flag_values=values, sys_argv=full)
    flags.DEFINE_string("workdir", "", "Folder of the run.", flag_values=values)
    flags.DEFINE_bool("dry_run", False, "Print config, parameters, memory and time.", flag_values=values)
    alone = "Address of process 0 when several train together, host:port; 'auto' asks Slurm, TPU or JAX_* variables."
    flags.DEFINE_string("coordinator", "", alone, flag_values=values)
    flags.DEFINE_integer("processes", None, "How many processes train together.", flag_values=values)
    flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.", flag_values=values)
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", flag_values=values)
    try:
        words = values(full)[1:]
        if values.help:
            print(values.get_help())
            raise SystemExit(0)
        if words:
            raise ConfigError(f"{words[0]!r} is no flag; settings are --config.name=value")
        if values.config is None:
            raise ConfigError("--config=FILE is needed, such as --config=configs/dpo.py")
        values.config.steps  # noqa: B018  (a recipe that could not be read says so when it is first looked at)
    except (flags.Error, KeyError, AttributeError, ValueError, TypeError, OSError) as error:
        text = str(error.args[0]) if isinstance(error, KeyError) else str(error)
        raise ConfigError(text.strip().splitlines()[-1].strip()) from error
    return values.config, values


def _refuse_unknown_settings(config: Any, argv: list[str]) -> None:
    for path in (match[1] for word in argv if (match := re.match(r"--?(?:no)?config\.([\w.]+)", word))):
        place = config
        for key in path.split("."):
            if not hasattr(place, "keys") or key not in place:
                known = place.keys() if hasattr(place, "keys") else ()
                raise ConfigError(f"no setting config.{path}; {nearest(key, known)}")
            place = place[key]


def _sample(argv: list[str]) -> None:
    parser = _parser("sample", "Writes completions of a model, as text or as JSON lines.")
    parser.add_argument("--model", required=True, help="Hugging Face folder, workdir or workdir@step")
    parser.add_argument("--prompt", action="append", default=[], help="a prompt; may be given again")
    parser.add_argument("--source", help="prompts from a source: \"prompts(path='prompts.jsonl')\"")
    parser.add_argument("--n", type=int, default=1, help="completions of each prompt")
    parser.add_argument("--max_new", type=int, help="tokens of a completion at most; by default what fits, up to 128")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 takes the most likely token")
    parser.add_argument("--top_k", type=int)
    parser.add_argument("--top_p", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="write JSON lines here instead of text to the terminal")
    options = parser.parse_args(argv)

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


def _best_of_n(argv: list[str]) -> None:
    parser = _sampling_parser("best-of-n", "Samples n completions of each prompt and keeps the best by a reward.", n=16)
    parser.add_argument("--reward", required=True, metavar="REF_OR_CALL", help=REWARD_HELP)
    parser.add_argument("--gold", metavar="REF_OR_CALL", help="another reward: its value at the best by --reward")
    parser.add_argument("--keep", choices=["best", "above"], default="best", help="or all of at least --threshold")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--finished", action="store_true", help="keep none that is blank or was cut at max_new")
    parser.add_argument("--texts", action="store_true", help="write the texts of all completions too")
    parser.add_argument("--out", help="JSON lines, which demos(path=...) reads")
    options = parser.parse_args(argv)
    options.frozen = _assignments("--frozen", "NAME=REF", options.frozen)

    from prefjax import commands

    commands.best_of_n(options)


def _pairs(argv: list[str]) -> None:
    parser = _sampling_parser("pairs", "Writes preference pairs: of a model's own completions, or of rewrites.", n=2)
    parser.add_argument("--label", metavar="REF_OR_CALL", help=REWARD_HELP)
    parser.add_argument("--judge", metavar="CALL", help="a function (prompt, a, b) -> 'A', 'B', 'tie' or 'invalid'")
    parser.add_argument("--ranking", action="store_true", help="all n in order, instead of the best against the worst")
    parser.add_argument("--cut", action="store_true", help="keep completions cut at max_new")
    parser.add_argument("--rewrites", metavar="FILE", help="instead of a model: rows of a prompt, bad and good")
    parser.add_argument("--field", action="append", default=[], metavar="OURS=THEIRS", help="chosen=good, prompt=...")
    parser.add_argument("--out", required=True, help="JSON lines, which jsonl(path=...) reads")
    options = parser.parse_args(argv)
    if bool(options.model) == bool(options.rewrites):
        raise ConfigError("give --model=REF or --rewrites=FILE")
    options.frozen = _assignments("--frozen", "NAME=REF", options.frozen)
    options.fields = _assignments("--field", "OURS=THEIRS", options.field)

    from prefjax import commands

    commands.pairs(options)


def _normalize(argv: list[str]) -> None:
    parser = _sampling_parser("normalize", "Stores with a reward model the moments of its rewards on samples.", n=1)
    parser.add_argument("--reward", required=True, metavar="REF", help="the reward model; --model is the policy")
    options = parser.parse_args(argv)
    options.frozen = {}

    from prefjax import commands

    commands.normalize(options)


REWARD_HELP = "a reward model, or a call of prefjax.rewards: \"text(function='my.module:score')\", or a sum of calls"


def _sampling_parser(command: str, description: str, n: int) -> argparse.ArgumentParser:
    parser = _parser(command, description)
    parser.add_argument("--model", required=command != "pairs", help="Hugging Face folder, workdir or workdir@step")
    parser.add_argument("--prompt", action="append", default=[], help="a prompt; may be given again")
    parser.add_argument("--source", help="prompts from a source: \"prompts(path='prompts.jsonl')\"")
    parser.add_argument("--n", type=int, default=n, help=f"completions of each prompt; by default {n}")
    parser.add_argument("--max_new", type=int, help="tokens of a completion at most; by default what fits, up to 128")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top_k", type=int)
    parser.add_argument("--top_p", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch_size", type=int, default=64, help="completions at a time")
    frozen = (
        "a model that the reward names; may be given again: --reward='model() - length(target=20)' --frozen reward=REF"
    )
    parser.add_argument("--frozen", action="append", default=[], metavar="NAME=REF", help=frozen)
    return parser


def _assignments(flag: str, form: str, words: list[str]) -> dict[str, str]:
    if not all("=" in word for word in words):
        raise ConfigError(f"{flag} takes {form}")
    return dict(word.split("=", 1) for word in words)


def _export(argv: list[str]) -> None:
    parser = _parser(
        "export", "Writes a model as a Hugging Face folder: weights, tokenizer, chat template, stop token."
    )
    parser.add_argument("--model", required=True, help="Hugging Face folder, workdir or workdir@step")
    parser.add_argument("--out", required=True, help="folder to write")
    options = parser.parse_args(argv)

    from prefjax import checkpoint, models
    from prefjax.data import load

    model, params = checkpoint.load(options.model)
    tokenizer = load.tokenizer(options.model)
    models.save(options.out, model, params, extra=tokenizer.ids)
    tokenizer.save(options.out)
    print(f"{options.out}: load it with transformers.AutoModelForCausalLM.from_pretrained")


def _check(argv: list[str]) -> int:
    parser = _parser("check", "Reads a file and prints counts and every problem. Exit 3 when a row is refused.")
    parser.add_argument("file", help=".jsonl, .jsonl.gz, .parquet, a saved data set, or wildcards in quotes")
    field_help = "prompt=request, or prompt=instruction+input to join two"
    parser.add_argument("--field", action="append", default=[], metavar="OURS=THEIRS", help=field_help)
    parser.add_argument("--layout", default="pairs", help="pairs, demos, texts, prompts, or a reader such as hh")
    parser.add_argument("--tokenizer", help="Hugging Face folder or workdir: also count tokens")
    parser.add_argument("--max_length", type=int, help="tokens a row may have")
    options = parser.parse_args(argv)
    if not all("=" in field for field in options.field):
        raise ConfigError("--field takes OURS=THEIRS, such as --field prompt=request")

    from prefjax.data.check import check

    tokenizer = None
    if options.tokenizer:
        from prefjax.data import load

        tokenizer = load.tokenizer(options.tokenizer)
    pairs = (field.split("=", 1) for field in options.field)
    fields = {ours: tuple(theirs.split("+")) if "+" in theirs else theirs for ours, theirs in pairs}
    report = check(options.file, tokenizer, options.max_length, layout=options.layout, **fields)
    print(report)
    return 3 if report.refused else 0


def _prepare(argv: list[str]) -> None:
    parser = _parser("prepare", "Writes the records of a source as a TensorFlow dataset of array records.")
    parser.add_argument("--source", required=True, help="\"hh(path='pairs.jsonl.gz')\", or any other source")
    parser.add_argument("--out", required=True, help="folder to write under")
    options = parser.parse_args(argv)

    from prefjax.data import load, tfds

    folder = tfds.prepare(load.stream(options.source), options.out, description=options.source)
    print(f"{folder}: read it with tfds(path={str(folder)!r})")


def _doctor(argv: list[str]) -> int:
    _parser("doctor", "Prints versions and devices, and takes one step of training.").parse_args(argv)
    from prefjax import plan

    text, ok = plan.doctor()
    print(text)
    return 0 if ok else 1


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"prefjax {command}", description=description, allow_abbrev=False)


COMMANDS: dict[str, Callable[[list[str]], int | None]] = {
    "train": _train,
    "sample": _sample,
    "best-of-n": _best_of_n,
    "normalize": _normalize,
    "pairs": _pairs,
    "export": _export,
    "check": _check,
    "prepare": _prepare,
    "doctor": _doctor,
}
