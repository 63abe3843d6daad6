"""A row of the table: what should come out, and what did."""

from typing import NamedTuple


class Row(NamedTuple):
    """One number that is known, and the same number as the library has it."""

    study: str
    what: str
    expected: float
    got: float
    within: float  # the largest difference that passes

    @property
    def passes(self) -> bool:
        return bool(abs(self.got - self.expected) <= self.within)  # False for NaN


def printed(study: str, what: str, expected: float, got: float, digits: int) -> Row:
    """A row whose expected value is known to `digits` decimals."""
    return Row(study, what, expected, float(got), 0.51 * 10**-digits)


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| study | what | expected | got | within | |", "|---|---|---|---|---|---|"]
    for r in rows:
        verdict = "ok" if r.passes else "**MISS**"
        lines.append(f"| {r.study} | {r.what} | {r.expected:.6g} | {r.got:.6g} | {r.within:.2g} | {verdict} |")
    return "\n".join(lines) + "\n"
