"""The command line: `prefjax COMMAND --help`. A command is the `main(argv)` of the module here that bears its name.

jax and its friends are imported by the command that needs them.
"""

import importlib
import os
import sys
from collections.abc import Sequence

from prefjax import __version__, host
from prefjax.errors import ConfigError, HungError, PrefjaxError

COMMANDS = {  # name: what it does, and its flags as they are mostly given
    "train": ("train as a config says", "--config=configs/dpo.py[:arg] --workdir=DIR [--config.x=y] [--dry_run]"),
    "sweep": (
        "train many as one program",
        "--config=configs/dpo.py --axis loss.beta=0.1,0.5 --axis seed=0..3 --workdir=DIR",
    ),
    "sample": ("write completions", '--model=REF --prompt="Why did retries rise?"'),
    "eval": ("evaluate a checkpoint", "--workdir=DIR [--step=N] [--eval name=CALL] [--out=FILE]"),
    "best-of-n": ("choose by a reward", "--model=REF --reward=REF_OR_CALL --n=16 --prompt=... [--out=FILE]"),
    "pairs": ("from a model itself", "--model=REF --source=CALL --label=REF_OR_CALL --out=FILE"),
    "normalize": ("a reward model", "--reward=REF --model=REF --source=CALL"),
    "export": ("to a Hugging Face folder", "--model=REF --out=DIR"),
    "report": ("a page of runs", "WORKDIR [WORKDIR ...] [--out=DIR] [--table=md|latex] [--best_of_n=FILE]"),
    "gate": ("ship, hold or roll back", "WORKDIR --baseline=WORKDIR [--rules=FILE]"),
    "check": ("judge the form of a file", "FILE [--layout=demos] [--field prompt=request] [--tokenizer=REF]"),
    "label": ("people judge, on a local page", "PAIRS --guideline=FILE --annotator=NAME --out=FILE [--scale=graded]"),
    "audit": ("what the pairs encode", "PAIRS [--eval PAIRS] [--reward=REF] [--tokenizer=REF] [--out=audit.json]"),
    "prepare": ("write a TensorFlow dataset", "--source=\"pairs(path='pairs.jsonl')\" --out=DIR"),
    "doctor": ("look at versions and devices", ""),
}
EXPLAINED = """\
REF is a Hugging Face folder, a workdir (its newest checkpoint) or workdir@step; a CALL names a function of the package
or of yours: "pairs(path='pairs.jsonl')", "my.module:score(scale=2.0)".
Exit codes: 0 ok, 2 usage or config, 3 data, 4 non-finite numbers, 5 checkpoint, 6 workdir locked, 7 disk,
130 SIGINT, 143 SIGTERM; after the last two, as after a kill, the same command goes on. The gate's: 0 ship, 10 hold,
11 roll back.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code. A mistake of the user is one message on standard error."""
    command, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if command in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if command == "--version":
        print(f"prefjax {__version__}")
        return 0
    host.keep_memory()
    sys.path.insert(0, "")  # "experiments.mine.loss:my_loss" is found from the working folder
    try:
        if command not in COMMANDS:
            raise ConfigError(f"no command {command!r}; there are {', '.join(COMMANDS)}")
        module = importlib.import_module(f"prefjax.cli.{command.replace('-', '_')}")
        return module.main(rest) or 0
    except PrefjaxError as error:
        print(f"prefjax {command}: {error}", file=sys.stderr, flush=True)
        if isinstance(error, HungError):
            sys.stdout.flush()
            os._exit(error.exit_code)  # Python would wait for the thread that hangs
        return error.exit_code
    except KeyboardInterrupt as error:
        print(f"prefjax {command}: {error or 'interrupted'}", file=sys.stderr)
        return getattr(error, "exit_code", 130)


def usage() -> str:
    """What `prefjax --help` prints."""
    lines = [f"  {name:<10} {what:<29} {flags}".rstrip() for name, (what, flags) in COMMANDS.items()]
    return "\n".join(["usage: prefjax COMMAND [options]", "", *lines, "", EXPLAINED])
