"""The parts of the page that are tables and texts."""

import json
from collections.abc import Sequence

from prefjax.audit import sections
from prefjax.report import slices, table, texts
from prefjax.report.changes import FEW
from prefjax.report.groups import Group
from prefjax.report.html import Html, tag, text
from prefjax.report.metrics import known, moved, moved_between, told, with_interval
from prefjax.report.runs import Run


def slices_of(group: Group, several: bool) -> Html:
    """The slices of a group's first run."""
    run = group.runs[0]
    rows, metric = slices.slices(run), slices.taste(run)
    seed = f", seed {run.config.get('seed')}" if len(group.runs) > 1 else ""
    heading = tag("h3", f"{group.label}{seed}") if several or seed else None
    if not rows:
        missing = "No evaluation reports slices: it takes eval/, and records that have a slice."
        return text(heading, tag("p", missing, class_="missing"))
    shown = [name for name in slices.COLUMNS if any(name in row.values for row in rows)]
    cells = []
    for row in rows:
        change, p = "–", "few" if row.few else "–"
        if metric and row.change:
            change = moved_between(metric, row.change.mean, *row.change.interval())
        if row.p is not None:
            p = "< .001" if row.p < 0.001 else f"{row.p:.3f}".removeprefix("0")
        values = [with_interval(name, row.values[name]) if name in row.values else "–" for name in shown]
        cells.append([row.name, str(row.n), *map(table.quiet, [*values, change]), p])
    since = "from 50 %" if metric == "win_rate" else "since the start"
    about = f"{known(metric).words} {since}" if metric else "change"
    head = ["slice", "n", *(known(name).words for name in shown), about, "p, Holm"]
    caption = (
        "At the last evaluation, the worst change first; p-values are Holm's over the slices. "
        f"Grey: fewer than {FEW} prompts, of which nothing is concluded."
    )
    return text(heading, table.grid(head, cells, caption, ["few" if row.few else None for row in rows]))


def examples(groups: Sequence[Group]) -> Html:
    """Answers before and after."""
    found = texts.examples(groups)
    if not found:
        missing = "No completions from before and after: it takes an evaluation with samples at two steps."
        return tag("p", missing, class_="missing")
    metric = found[0].metric
    how = (
        f"The prompts whose {known(metric).words} rose and fell most, and others at random, the same every time. "
        if metric
        else "Prompts at random, the same every time: no metric ranks them. "
    )
    how += "Struck out: words of before alone; underlined: new ones."
    how += f" Before is the first evaluation of {groups[0].label}." if len(groups) > 1 else ""
    return text(tag("p", how, class_="note"), tag("div", [_example(example) for example in found], class_="examples"))


def _example(found: texts.Example) -> Html:
    about = {"best": "among the best", "worst": "among the worst", "random": "at random"}[found.kind]
    if found.metric and found.change is not None:
        about += f" · {known(found.metric).words} {moved(found.metric, found.change)}"
    about += f" · {found.slice}" if found.slice else ""
    before = found.answers[0].text
    bodies = [texts.differences(before, answer.text) for answer in found.answers[1:]]
    first = bodies[0][0] if len(bodies) == 1 else texts.shown(before)
    cells = []
    for answer, body in zip(found.answers, [first, *(new for _, new in bodies)], strict=True):
        numbers = {name: answer.row.get(name) for name in ("gold", "reward", "length")}
        values = [f"{known(n).words} {told(n, v)}" for n, v in numbers.items() if isinstance(v, int | float)]
        cells.append(tag("div", tag("small", " · ".join([answer.label, *values])), tag("p", body)))
    prompt = tag("p", texts.shown(found.prompt), class_="prompt")
    return tag(
        "article", tag("p", about, class_="about"), prompt, tag("div", cells, class_="answers"), class_="example"
    )


def audits(groups: Sequence[Group]) -> Html:
    """What the audits of the pairs found; one that several groups share is told once."""
    found = {json.dumps(run.audit, sort_keys=True): run for group in groups for run in group.runs if run.audit}
    if not found:
        missing = "The pairs were not audited: `prefjax audit PAIRS --out=WORKDIR/audit.json` does it."
        return tag("p", missing, class_="missing")
    return text([_audit(run) for run in found.values()])


def _audit(run: Run) -> Html:
    """The audit as the terminal tells it; of one that another version wrote, its JSON."""
    try:
        parts = sections(run.audit or {})
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        words = f"{run.path / 'audit.json'} was not written by this version of `prefjax audit` ({error!r}); as it is:"
        return text(tag("p", words, class_="missing"), tag("pre", json.dumps(run.audit, indent=1, ensure_ascii=False)))
    return text([_part(*part) for part in parts])


def _part(title: str, words: list[str], rows: list[list[str]]) -> Html:
    told = [
        tag("p", tag("strong", "▲ "), word.removeprefix("ALARM: "), class_="alarmed")
        if word.startswith("ALARM: ")
        else tag("p", word)
        for word in words
    ]
    return text(tag("h3", title), told, table.grid(rows[0], rows[1:], "") if rows else None)
