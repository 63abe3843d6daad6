"""Runs that differ in their seeds alone, together; and what tells the groups apart."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prefjax.errors import ConfigError
from prefjax.evals.stats import interval
from prefjax.report.runs import Estimate, Run
from prefjax.resolve import is_call, parse

_SEED = re.compile(r"(seed\s*[=_/-]?\s*)\d+")  # in call strings and paths: "pairs(seed=3)", "runs/seed3/sft"


class Group(NamedTuple):
    """Runs of one setting."""

    label: str
    runs: list[Run]

    def track(self, metric: str) -> list[tuple[int, Estimate]]:
        """A metric over steps: of one run with its own intervals, of several as mean and interval over the runs."""
        return over_runs([run.track(metric) for run in self.runs])


def over_runs(tracks: Sequence[list[tuple[int, Estimate]]]) -> list[tuple[int, Estimate]]:
    """The mean over runs at the steps that all of them have, with Student's 95 % interval over the runs.

    Of runs that measured at different steps only what they share is drawn: else a mean would jump with who is in it.
    Runs that did not measure it at all are left out; `n` of a mean is how many did.
    """
    if len(tracks) == 1:
        return list(tracks[0])
    tables = [dict(track) for track in tracks if track]
    shared = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    return [(step, mean([table[step].mean for table in tables])) for step in shared]


def mean(values: Sequence[float]) -> Estimate:
    """The mean of one number a run."""
    return Estimate(*interval(values, range(len(values))), len(values))


def group(runs: Sequence[Run]) -> list[Group]:
    """Groups in the order of their first runs, named by the settings that differ, or by their folders.

    Runs that are alike in all, the seed too, are not taken together: the same run again is no second seed.
    """
    together: list[tuple[dict[str, Any], list[Run]]] = []
    for run in runs:
        setting = but_for_the_seed(run)
        alike = [members for other, members in together if other == setting and other]
        home = next((members for members in alike if run.config not in [m.config for m in members]), None)
        home.append(run) if home is not None else together.append((setting, [run]))
    labels = _labels([setting for setting, _ in together], [members for _, members in together])
    return [Group(label, members) for label, (_, members) in zip(labels, together, strict=True)]


def but_for_the_seed(run: Run) -> dict[str, Any]:
    """The settings of a run, alike for runs that differ in their seeds alone."""
    left_out = ("seed", "cache", "wandb", "tensorboard", "keep")
    return {
        name: _SEED.sub(r"\1*", value) if isinstance(value, str) else value
        for name, value in run.config.items()
        if name not in left_out
    }


def _labels(settings: Sequence[dict[str, Any]], members: Sequence[list[Run]]) -> list[str]:
    """The settings that differ, if they are few and tell every group from every other; else the folders."""
    swept = [{name: value for name, value in group[0].changes.items() if name != "seed"} for group in members]
    ways = [(swept, 60)] if all(swept) else []  # of the runs of a sweep what its axes changed
    for spread, most in (*ways, ([_spread(setting) for setting in settings], 36)):
        labels = _by_difference(spread)
        if len(set(labels)) == len(members) > 1 and all(0 < len(label) <= most for label in labels):
            return labels
    paths = [group[0].path.absolute() for group in members]
    if len(paths) == 1 and len(members[0]) > 1 and members[0][0].changes:
        return [paths[0].parent.name]  # one setting, its seeds
    root = Path(os.path.commonpath(paths)) if len(paths) > 1 else paths[0].parent
    kept = [[part for part in path.relative_to(root).parts if not _SEED.fullmatch(part)] for path in paths]
    folders = [str(Path(*parts)) if parts else path.name for parts, path in zip(kept, paths, strict=True)]
    return folders if len(set(folders)) == len(folders) else [str(path) for path in paths]


def _by_difference(settings: Sequence[dict[str, Any]]) -> list[str]:
    """What differs between settings, in words of each."""
    names = dict.fromkeys(name for setting in settings for name in setting)
    differ = [name for name in names if len({repr(setting.get(name)) for setting in settings}) > 1]
    last = [name.rpartition(".")[2] for name in differ]
    short = [name if last.count(end) > 1 else end for name, end in zip(differ, last, strict=True)]
    words = lambda setting: (f"{word} {setting.get(name, 'none')}" for name, word in zip(differ, short, strict=True))
    return [", ".join(words(setting)) for setting in settings]


def _spread(setting: dict[str, Any]) -> dict[str, Any]:
    """The settings with the keywords of call strings apart: {"loss": "dpo_loss", "loss.beta": 0.1}."""
    flat: dict[str, Any] = {}
    for name, value in setting.items():
        try:
            function, keywords = parse(value) if isinstance(value, str) and is_call(value) else (value, {})
        except ConfigError:
            function, keywords = value, {}
        flat |= {name: function} | {f"{name}.{key}": inner for key, inner in keywords.items()}
    return flat
