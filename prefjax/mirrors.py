"""Mirrors of metrics: Weights & Biases, TensorBoard. metrics.jsonl is the record: a mirror that fails ends no run."""

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from prefjax.errors import ConfigError

_log = logging.getLogger(__name__)


class Mirror(NamedTuple):
    """A tracker that is told of the metrics."""

    log: Callable[[int, Mapping[str, float]], None]
    close: Callable[[bool], None]  # given whether the run is done
    retold: bool = False  # starts empty, and has to be told the lines of an earlier part of the run


class Mirrors:
    """The mirrors of a run, by the names of their settings. One that raises is left out from then on, and said."""

    def __init__(self, workdir: Path, config: Mapping[str, Any]):
        """Starts those that the config asks for; ConfigError where one is not installed."""
        self._mirrors: dict[str, Mirror] = {}
        for name, (start, extra) in STARTS.items():
            try:
                if config.get(name):
                    self._mirrors[name] = start(workdir, config)
            except ModuleNotFoundError:
                told = f"config.{name} is True, but {name} is not installed: pip install prefjax[{extra}]"
                raise ConfigError(told) from None
            except Exception as error:
                _warn(name, error)

    def retell(self, rows: Iterable[Mapping[str, float]]) -> None:
        """Lines that the record holds from before a resume."""
        for row in rows if any(mirror.retold for mirror in self._mirrors.values()) else ():
            values = {name: value for name, value in row.items() if name != "step"}
            self._each(lambda mirror, at=int(row["step"]), values=values: mirror.retold and mirror.log(at, values))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._each(lambda mirror: mirror.log(step, values))

    def close(self, done: bool) -> None:
        self._each(lambda mirror: mirror.close(done))

    def _each(self, act: Callable[[Mirror], Any]) -> None:
        for name, mirror in list(self._mirrors.items()):
            try:
                act(mirror)
            except Exception as error:
                del self._mirrors[name]
                _warn(name, error)


def _warn(name: str, error: Exception) -> None:
    _log.warning("%s is left out from now on, metrics.jsonl goes on: %s: %s", name, type(error).__name__, error)


def _wandb(workdir: Path, config: Mapping[str, Any]) -> Mirror:
    import wandb

    mode: Any = os.environ.get("WANDB_MODE", "offline")
    settings = wandb.Settings(x_disable_meta=True, save_code=False, silent=True)
    folder = workdir.resolve()
    group = folder.parent.name if (folder.parent / "sweep.json").exists() else None  # of the runs of a sweep
    names: dict[str, Any] = {"project": "prefjax", "name": folder.name, "group": group, "reinit": "create_new"}
    run = wandb.init(**names, dir=workdir, config=dict(config), mode=mode, settings=settings)
    return Mirror(lambda step, values: run.log(dict(values), step=step), lambda done: run.finish(0 if done else 1))


def _tensorboard(workdir: Path, config: Mapping[str, Any]) -> Mirror:
    """An event file of its own for each start: events cannot be taken back, and a resume writes some steps again."""
    from tensorboard.summary import Writer

    shutil.rmtree(workdir / "tensorboard", ignore_errors=True)
    writer = Writer(str(workdir / "tensorboard"))

    def log(step, values):
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return Mirror(log, lambda done: writer.close(), retold=True)


STARTS = {"wandb": (_wandb, "wandb"), "tensorboard": (_tensorboard, "tb")}  # setting -> how it starts, its extra
