"""What a run was: its settings, its command, its clock and its alarms."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prefjax.config import base, flatten
from prefjax.report.groups import Group
from prefjax.report.html import Html, tag, text
from prefjax.report.metrics import number
from prefjax.report.runs import Run
from prefjax.report.table import grid
from prefjax.report.texts import differences, shown, told


def facts(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """What stands under the verdict: (name, value)."""
    runs = [run for group in groups for run in group.runs]
    seeds = [str(run.config["seed"]) for run in runs if "seed" in run.config]
    commits = {commit(run) for run in runs}
    hours = sum(run.seconds * max(len(run.facts.get("devices", ())), 1) for run in runs) / 3600
    devices = sorted({re.sub(r"[:_]?\d+$", "", str(device)) for run in runs for device in run.facts.get("devices", ())})
    written = [tokens(run) for run in runs]
    steps = {f"{run.last:,} of {run.config['steps']:,}" if "steps" in run.config else f"{run.last:,}" for run in runs}
    states = sorted({run.status for run in runs})
    return [
        ("state", ", ".join(states)),
        ("steps", ", ".join(sorted(steps))),
        ("seed" if len(seeds) == 1 else "seeds", ", ".join(dict.fromkeys(seeds)) or "not recorded"),
        ("commit", ", ".join(sorted(commits))),
        ("tokens", number(sum(n for n in written if n), 3) if all(written) else "not recorded"),
        ("device-hours", f"{number(hours, 2)} of {' and '.join(devices) or 'a device'}" if hours else "not recorded"),
    ]


def commit(run: Run) -> str:
    """The commit of the working folder, and whether it was changed."""
    sha = run.facts.get("git")
    return f"{str(sha)[:10]}{', changed' if run.facts.get('git_dirty') else ''}" if sha else "no checkout"


def tokens(run: Run) -> float:
    """Tokens a run has taken in, padding apart: those of its rows, and those it wrote. 0 where that is not known."""
    rows, data = run.facts.get("data", {}).get("rows"), run.facts.get("tokens")
    size, curve = run.config.get("batch_size", 0), run.curves.get("length")
    read = data / rows * size * run.last if rows and data else 0.0
    wrote = (
        float(np.nanmean(curve.mean)) * size * run.config.get("rollout.n", 1) * run.last
        if curve and np.isfinite(curve.mean).any()
        else 0.0
    )
    return read + wrote if read else 0.0


def command(run: Run) -> str:
    """What started the run, for a shell."""
    argv = [str(word) for word in run.facts.get("argv", [])]
    if not argv or argv[0] in ("-c", "-m", "-"):
        return f"# started from Python: prefjax.train.train(config, {str(run.path)!r}) with the settings below"
    name, *rest = argv
    path = Path(name)
    if path.name == "__main__.py":
        inside = (
            path.parent.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else Path(*path.parent.parts[-2:])
        )
        first = f"python -m {'.'.join(inside.parts)}"
        first = "prefjax" if path.parent.name == "prefjax" else first
    else:
        first = path.name if path.name == "prefjax" or not name.endswith(".py") else f"python {os.path.relpath(name)}"
    sha = run.facts.get("git")
    checkout = (
        f"git checkout {sha}{'   # and what was changed in the folder' if run.facts.get('git_dirty') else ''}\n"
        if sha
        else ""
    )
    words = [shlex.quote(word) for word in rest]
    if words and not words[0].startswith("-"):
        first = f"{first} {words.pop(0)}"
    return checkout + " \\\n  ".join([first, *words])


def settings(groups: Sequence[Group]) -> Html:
    """The settings of each group that are not the defaults of `prefjax.config.base`."""
    defaults = flatten(base().to_dict())
    configs = [group.runs[0].config for group in groups]
    names = [
        n
        for n in sorted({*defaults, *(n for c in configs for n in c)})
        if any(c.get(n, _GONE) != defaults.get(n, _GONE) for c in configs)
    ]
    names = [name for name in names if any(name in config for config in configs)]
    if not names:
        return tag(
            "p", "No config.json was found." if not any(configs) else "All settings are the defaults.", class_="missing"
        )
    write = lambda value: "–" if value is _GONE else str(value) if value != "" else "''"
    rows = [[name, write(defaults.get(name, _GONE)), *(write(c.get(name, _GONE)) for c in configs)] for name in names]
    return tag("div", grid(["setting", "default", *(group.label for group in groups)], rows, ""), class_="settings")


_GONE: Any = object()


def alarms(groups: Sequence[Group]) -> Html:
    """The alarm log: each alarm of each run once, as it was at its last evaluation, with its examples."""
    runs = [run for group in groups for run in group.runs]
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for at, run in enumerate(runs):
        for alarm in run.alarms:
            found.setdefault((at, str(alarm.get("name", "alarm"))), []).append(alarm)
    if not found:
        none = (
            "No alarm was raised."
            if any(run.evaluations for run in runs)
            else "Nothing was evaluated: no alarm either."
        )
        return tag("p", none)
    where = lambda at: f"{runs[at].path.name}, " if len(runs) > 1 else ""
    return tag("ol", [_alarm(where(at), name, rows) for (at, name), rows in found.items()], class_="log")


def _alarm(where: str, name: str, rows: list[dict[str, Any]]) -> Html:
    last, steps = rows[-1], [str(row["step"]) for row in rows]
    when = f"step{'s' if len(steps) > 1 else ''} {', '.join(steps[:6])}{f' … {steps[-1]}' if len(steps) > 6 else ''}"
    evidence = [f"{key.replace('_', ' ')}: {_evidence(value)}" for key, value in (last.get("evidence") or {}).items()]
    return tag(
        "li",
        tag("strong", f"▲ {name}"),
        f" ({where}{when}, {last.get('severity', 'alarm')}): {last.get('words', '')}",
        tag("p", "; ".join(evidence), class_="evidence") if evidence else None,
        [_example(row) for row in (last.get("examples") or [])[:3] if isinstance(row, dict)],
    )


def _evidence(value: Any) -> str:
    """A number, numbers with their interval, or what is inside, in few words."""
    if isinstance(value, dict):
        if {"mean", "low", "high"} <= value.keys() and value["low"] is not None:
            ends = f"{number(value['mean'])} [{number(value['low'])}, {number(value['high'])}]"
            before = f"{number(value['before'])} → {number(value['after'])}, " if "before" in value else ""
            return f"{before}{ends}"
        return ", ".join(f"{key} {_evidence(inner)}" for key, inner in value.items() if inner not in (None, {}))
    if isinstance(value, list):
        return " to ".join(map(_evidence, value)) if len(value) == 2 else ", ".join(map(_evidence, value))
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _example(row: dict[str, Any]) -> Html:
    before, after = row.get("before"), told(row.get("response", ""))
    old, new = differences(told(before), after) if before is not None else (None, shown(after))
    return tag(
        "blockquote",
        tag("p", shown(told(row.get("prompt", ""))), class_="prompt"),
        tag("p", tag("small", "before "), old) if old is not None else None,
        tag("p", tag("small", "now ") if old is not None else None, new),
    )


def foot(groups: Sequence[Group]) -> Html:
    """The last part of the page."""
    runs = [run for group in groups for run in group.runs]
    versions = ", ".join(f"{name} {number}" for name, number in runs[0].facts.get("versions", {}).items())
    return text(
        tag("h3", "Alarm log"),
        alarms(groups),
        tag("h3", "The command" if len(runs) == 1 else "The commands"),
        [tag("pre", command(run)) for run in runs[:8]],
        tag("p", f"… and those of {len(runs) - 8} more runs, in their run.json", class_="note")
        if len(runs) > 8
        else None,
        tag("h3", "Settings"),
        tag("p", "Those that differ from the defaults of prefjax.config.base.", class_="note"),
        settings(groups),
        tag("p", f"Recorded with {versions}.", class_="note") if versions else None,
    )
