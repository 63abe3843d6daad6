"""What the flags of several commands have in common."""

import argparse

from prefjax.errors import ConfigError

REWARD_HELP = "a reward model, or a call of prefjax.rewards: \"text(function='my.module:score')\", or a sum of calls"


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """Flags of a command, none of which may be shortened."""
    return argparse.ArgumentParser(prog=f"prefjax {command}", description=description, allow_abbrev=False)


def sampling_parser(command: str, description: str, n: int) -> argparse.ArgumentParser:
    """Flags of a command that samples."""
    flags = parser(command, description)
    flags.add_argument("--model", required=command != "pairs", help="Hugging Face folder, workdir or workdir@step")
    flags.add_argument("--prompt", action="append", default=[], help="a prompt; may be given again")
    flags.add_argument("--source", help="prompts from a source: \"prompts(path='prompts.jsonl')\"")
    flags.add_argument("--n", type=int, default=n, help=f"completions of each prompt; by default {n}")
    flags.add_argument("--max_new", type=int, help="tokens of a completion at most; by default what fits, up to 128")
    flags.add_argument("--temperature", type=float, default=1.0)
    flags.add_argument("--top_k", type=int)
    flags.add_argument("--top_p", type=float)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--batch_size", type=int, default=64, help="completions at a time")
    return flags


def frozen_flag(flags: argparse.ArgumentParser) -> None:
    """Adds `--frozen`, for commands whose reward may be a call."""
    words = (
        "a model that the reward names; may be given again: --reward='model() - length(target=20)' --frozen reward=REF"
    )
    flags.add_argument("--frozen", action="append", default=[], metavar="NAME=REF", help=words)


def assignments(flag: str, form: str, words: list[str]) -> dict[str, str]:
    """`NAME=VALUE` as often as the flag was given; raises ConfigError for another form."""
    if not all("=" in word for word in words):
        raise ConfigError(f"{flag} takes {form}")
    return dict(word.split("=", 1) for word in words)


def fields(words: list[str]) -> dict[str, str | tuple[str, ...]]:
    """The fields that `--field OURS=THEIRS` renames, as readers take them; `THEIRS+MORE` joins two."""
    named = assignments("--field", "OURS=THEIRS, such as --field prompt=request", words)
    return {ours: tuple(theirs.split("+")) if "+" in theirs else theirs for ours, theirs in named.items()}
