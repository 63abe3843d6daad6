"""The metrics the page and the gate know by name: what a reader calls them, and which way is better."""

import math
from typing import NamedTuple

from prefjax.report.runs import Estimate


class Metric(NamedTuple):
    """How a metric is written."""

    words: str
    unit: str = ""
    share: bool = False  # 0..1, written in percent
    better: int = 0  # 1: more; -1: less; 0: neither


METRICS = {
    "gold": Metric("gold reward", better=1),
    "reward": Metric("proxy reward", better=1),
    "win_rate": Metric("win rate", share=True, better=1),
    "win_rate_lc": Metric("win rate, length-controlled", share=True, better=1),
    "kl_exact": Metric("KL", "nats", better=-1),
    "kl": Metric("KL", "nats", better=-1),
    "length_ratio": Metric("length ratio"),
    "length": Metric("length", "tokens"),
    "benign_refusal": Metric("benign refusals", share=True, better=-1),
    "unsafe_refusal": Metric("unsafe refusals", share=True, better=1),
    "factuality": Metric("factuality", share=True, better=1),
    "facts_kept": Metric("facts kept", share=True, better=1),
    "facts_unsupported": Metric("unsupported facts", share=True, better=-1),
    "mc1": Metric("MC1", share=True, better=1),
    "mc2": Metric("MC2", share=True, better=1),
    "skill": Metric("skill", share=True, better=1),
    "nll": Metric("loss on held-out text", "nats a token", better=-1),
    "entropy": Metric("entropy", "nats a token"),
}
TASTE = ("gold", "win_rate", "reward")  # what is meant by better, the first that there is


def known(name: str) -> Metric:
    return METRICS.get(name, Metric(name.replace("_", " ")))


def number(value: float | None, digits: int = 3) -> str:
    """A number as short as it may be: 0.0123, 1.24, 12.4, 1,240."""
    if value is None or not math.isfinite(value):
        return "not known" if value is None else str(value)
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(decimals, 4)}f}"
    return "0" if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def told(name: str, value: float | None) -> str:
    """A value of a metric: "61 %", "1.24"."""
    if value is None or not math.isfinite(value) or not known(name).share:
        return number(value)
    return f"{100 * value:.{0 if value == 0 or value >= 0.0995 else 1}f} %"


def with_interval(name: str, found: Estimate) -> str:
    """A value and its interval, to as many digits as the interval lets one know: "61 % [55, 67]"."""
    ends = (found.mean, found.low, found.high)
    if any(end is None or not math.isfinite(end) for end in ends):
        return told(name, found.mean)
    scale, unit = (100, " %") if known(name).share else (1, "")
    mean, low, high = (scale * float(end or 0.0) for end in ends)
    if unit:
        low, high = max(low, 0.0), min(high, 100.0)
    size = lambda value: math.floor(math.log10(max(value, 1e-9)))
    digits = 1 - size((high - low) / 2) if not unit else -size((high - low) / 3)
    digits = max(0, min(digits, 1 if unit else 3, 2 - size(abs(mean)) if mean else 3))
    minus = lambda value: f"{value:,.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"
    return f"{minus(mean)}{unit} [{minus(low)}, {minus(high)}]"


def moved(name: str, value: float) -> str:
    """A change of a metric: "+3.1 pts", "-0.4"."""
    return f"{f'{100 * value:+.1f}'.replace('-', '−')} pts" if known(name).share else signed(value)


def moved_between(name: str, value: float, low: float, high: float) -> str:
    """A change and its interval: "+3.1 pts [1.2, 5.0]"."""
    low_words, high_words = (moved(name, end).removesuffix(" pts") for end in (low, high))
    return f"{moved(name, value)} [{low_words}, {high_words}]"


def signed(value: float) -> str:
    """A number with its sign, and a real minus."""
    text = number(abs(value), 2 if abs(value) < 10 else 1)
    return text if text == "0" else ("+" if value > 0 else "−") + text
