"""`prefjax train`: a config and its overrides become a run."""

import contextlib
import re
import sys
from pathlib import Path
from typing import Any

from prefjax import files, interrupt
from prefjax.errors import ConfigError
from prefjax.resolve import nearest


def main(argv: list[str]) -> None:
    config, options = parsed(argv)
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


def parsed(argv: list[str]) -> tuple[Any, Any]:
    """The config with its overrides, locked, and the other flags of `prefjax train`."""
    from absl import flags
    from ml_collections import config_flags

    values, full = flags.FlagValues(), ["prefjax train", *argv]
    recipe = [word for word in argv if re.match(r"--?config=", word)]
    if argv != recipe and recipe:
        _refuse_unknown_settings(parsed(recipe)[0], argv)
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
