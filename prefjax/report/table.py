"""The groups side by side: each metric at the end, with its interval, as HTML, Markdown or LaTeX."""

import re
from collections.abc import Sequence
from typing import Any

from prefjax.report.charts import track_of
from prefjax.report.groups import Group
from prefjax.report.html import Html, tag, text
from prefjax.report.metrics import known, with_interval

COLUMNS = ("gold", "win_rate", "win_rate_lc", "reward", "kl", "length_ratio", "benign_refusal", "unsafe_refusal",
           "factuality", "skill")  # fmt: skip
CAPTION = (
    "At the last evaluation of what a run ended with, with 95 % intervals: over the seeds where there are several, "
    "else over prompts. Where seeds lack a metric, or stopped before others, it says of how many and of which step."
)


def cells(groups: Sequence[Group]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows; a metric that no group has is left out."""
    columns = {name: [cell(group, name) for group in groups] for name in COLUMNS}
    shown = {name: found for name, found in columns.items() if any(found)}
    rows = []
    for at, group in enumerate(groups):
        rows.append([group.label, str(len(group.runs)), *(found[at] or "–" for found in shown.values())])
    units = {"kl": "KL, nats"}
    return ["run", "seeds", *(units.get(name, known(name).words) for name in shown)], rows


def cell(group: Group, name: str) -> str | None:
    """A metric at its last evaluation, and of which seeds and which step that is, where others are further."""
    runs = [run.kept for run in group.runs]
    track = track_of(Group(group.label, runs), name)
    if not track:
        return None
    step, found = track[-1]
    of = f"{found.n} of {len(runs)} seeds" if len(runs) > 1 and found.n != len(runs) else None
    early = step < max(entry["step"] for run in runs for entry in run.evaluations)
    beside = ", ".join(filter(None, [of, f"step {step}" if early else None]))
    return with_interval(name, found) + (f" ({beside})" if beside else "")


def markdown(groups: Sequence[Group]) -> str:
    """A table of Markdown, and what it says."""
    head, rows = cells(groups)
    mend = lambda cell: cell.replace("|", "\\|")
    lines = [head, ["---", *("---:" for _ in head[1:])], *([mend(c) for c in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{CAPTION}\n"


def latex(groups: Sequence[Group]) -> str:
    """A table of LaTeX with the rules of booktabs."""
    head, rows = cells(groups)
    special = {"\\": r"\textbackslash{}", "%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{",
               "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "−": "$-$"}  # fmt: skip
    mend = lambda cell: "".join(special.get(letter, letter) for letter in cell)
    line = lambda row: " & ".join(map(mend, row)) + r" \\"
    body = [rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\toprule", line(head), r"\midrule", *map(line, rows)]
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}", f"% {CAPTION}", ""])


def html(groups: Sequence[Group]) -> Html:
    """The table of the page."""
    head, rows = cells(groups)
    return grid(head, [[row[0], *map(quiet, row[1:])] for row in rows], CAPTION)


def quiet(cell: str) -> Html:
    """A cell with its interval in small type."""
    value, bracket, rest = cell.partition(" [")
    return text(value, tag("small", f"{bracket}{rest}") if bracket else None)


def grid(head: Sequence[str], rows: Sequence[Sequence[Any]], caption: str, classes: Sequence[str | None] = ()) -> Html:
    """A table that scrolls in itself; its first column heads the rows, columns of words are set from the left."""
    kinds = list(classes) or [None] * len(rows)
    left = ["words" if _words([row[at] for row in rows]) else None for at in range(len(head))]
    cell = lambda kind, at, value, **more: tag(kind, value, class_=left[at], **more)
    lines = [
        tag(
            "tr",
            cell("th", 0, row[0], scope="row"),
            [cell("td", at + 1, x) for at, x in enumerate(row[1:])],
            class_=kind,
        )
        for row, kind in zip(rows, kinds, strict=True)
    ]
    heads = tag("thead", tag("tr", [cell("th", at, word, scope="col") for at, word in enumerate(head)]))
    about = {"tabindex": 0, "role": "region", "aria_label": caption or ", ".join(head)}
    table = tag("div", tag("table", heads, tag("tbody", lines)), class_="scroll", **about)
    return text(table, tag("p", caption, class_="note") if caption else None)


def _words(cells: Sequence[Any]) -> bool:
    """Whether most cells of a column are no numbers."""
    number = re.compile(r"[+−-]?[\d.]|[<–-]|$")
    return 2 * sum(not number.match(str(cell)) for cell in cells) > len(cells)
