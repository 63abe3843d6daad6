"""The two tables: failures by alarms, and how often healthy runs raise each alarm."""

from typing import Any

from scipy import stats

from experiments.alarms.recipes import FAILURES, HEALTHY

NAMES = (
    "kl-budget", "verbosity", "brevity", "over-refusal", "under-refusal", "factuality", "factuality-hidden-by-style",
    "sycophancy", "reward-hacking", "kl-collapse", "no-movement", "missing-eos", "entropy-collapse", "critic-useless",
    "chosen-falling", "label-noise", "pair-artifacts",
)  # fmt: skip

UNJUDGED = {  # alarms of what such a run does not have: no critic, no pairs
    "DPO": ("critic-useless",),
    "PPO": ("chosen-falling", "label-noise", "pair-artifacts"),
}


def tables(rows: list[dict[str, Any]]) -> str:
    return f"{failures(rows)}\n\n{false_alarms(rows)}\n"


def failures(rows: list[dict[str, Any]]) -> str:
    """What was made to fail, the alarms that should name it with the first step of each, and the others raised."""
    found = {row["run"].removeprefix("failing/"): row for row in rows}
    lines = ["| made to fail | should be named | is named, first at step | also raised |", "|---|---|---|---|"]
    for name, failure in FAILURES.items():
        if name not in found:
            continue
        raised, steps = found[name]["alarms"], found[name]["steps"]
        named = [f"{a} ({raised[a][0]} of {steps})" for a in failure.expected if a in raised]
        also = [a for a in NAMES if a in raised and a not in failure.expected]
        cells = name, " or ".join(failure.expected), ", ".join(named) or "**no**", ", ".join(also)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def false_alarms(rows: list[dict[str, Any]]) -> str:
    """The share of healthy runs in which an alarm is raised at any evaluation, with its exact interval."""
    groups = {a: [row for row in rows if row["run"].startswith(f"healthy/{a} ")] for a in HEALTHY}
    heads = [f"{a}: runs of {len(found)}" for a, found in groups.items()]
    lines = [f"| alarm | {' | '.join(f'{head} | 95 %' for head in heads)} |", "|---" * (1 + 2 * len(heads)) + "|"]
    for alarm in NAMES:
        cells = []
        for algorithm, found in groups.items():
            count = sum(alarm in row["alarms"] for row in found)
            judged = alarm not in UNJUDGED[algorithm]
            cells += [str(count), exact(count, max(len(found), 1))] if judged else ["not judged", ""]
        lines.append(f"| {alarm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def exact(count: int, runs: int) -> str:
    """Clopper and Pearson's 95 % interval of a rate, in percent; of none the one-sided bound: 0 of 20 allows 14 %."""
    low, high = stats.binomtest(count, runs, alternative="two-sided" if count else "less").proportion_ci()
    return f"[{100 * low:.0f}, {100 * high:.0f}] %" if count else f"at most {100 * high:.0f} %"
