"""The limits of `config.budget`: what is over one is a breach."""

from collections.abc import Iterator, Mapping
from typing import Any

from prefjax.alarms.view import Alarm, View, change, evaluation, examples, known, now, of, points, series

LIMITS = ("kl", "length_ratio", "benign_refusal", "unsafe_refusal", "factuality", "missing_eos", "entropy")
KL = ("kl_exact", "kl")  # nats a sequence to the original reference: exact where it is measured
_MEASURED_BY = {"kl": KL, "missing_eos": ("stopped",)}  # limit -> metrics, where they have other names


def over(view: View) -> Iterator[Alarm]:
    """The limits that the last evaluations are over, each as a breach; patience is not asked for here.

    Every evaluation that measures what is limited is judged by itself: a rare slice may have one of its own.
    """
    for name in view.history[-1]["evals"]:
        alone = of(view, name)
        for check in (_kl, _length, _shares, _missing_eos, _entropy):
            for alarm in check(alone):
                yield alarm._replace(words=f"{alarm.words} ({name})", evidence=alarm.evidence | {"evaluation": name})


def limits_of(budget: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The limits that are set, and the metrics that measure each, the best first."""
    return {name: _MEASURED_BY.get(name, (name,)) for name in LIMITS if is_set(budget[name])}


def is_set(limit: Any) -> bool:
    """Whether a limit is one: a number but 0, or a range with an end."""
    return any(limit) if isinstance(limit, list | tuple) else bool(limit)


def unmeasured(entry: Mapping[str, Any], budget: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The limits that none of the evaluations of a step measures, and the metrics that would."""
    found = {metric for told in entry["evals"].values() for metric in told}
    return {name: metrics for name, metrics in limits_of(budget).items() if found.isdisjoint(metrics)}


def left(entry: Mapping[str, Any], budget: Mapping[str, Any]) -> dict[str, float]:
    """{"kl": nats that are left of its limit}, by the evaluation that measures the most; empty without limit or KL."""
    found = [next(told[m]["mean"] for m in KL if m in told) for told in entry["evals"].values() if {*KL} & told.keys()]
    return {"kl": budget["kl"] - max(found)} if found and budget["kl"] else {}


def _kl(view: View) -> Iterator[Alarm]:
    limit, means, own = view.budget["kl"], series(view, *KL), now(view, *KL)
    if not limit or own is None or own["mean"] <= limit:  # what is not finite is over
        return
    inside = [at for at, mean in enumerate(means) if mean <= limit]
    times = len(means) - 1 - (inside[-1] if inside else -1)
    metric = (evaluation(view, *KL) or ("", ""))[1]
    words = (
        f"KL is {own['mean']:.2f} nats a completion to the original reference, over the budget of {limit:g} at "
        f"{times} evaluation{'s' * (times > 1)} in a row: the policy has left what it was tuned from"
    )
    evidence = {"kl": own, "limit": limit, "left": limit - own["mean"], "evaluations": times}
    yield Alarm("kl-budget", metric, view.step, "breach", words, evidence, examples(view, metric))


def _length(view: View) -> Iterator[Alarm]:
    own, (least, most) = known(view, "length_ratio"), view.budget["length_ratio"]
    if own is None:
        return
    long, short = most and own["mean"] > most and own["low"] > 1, least and own["mean"] < least and own["high"] < 1
    if not (long or short):
        return
    name = "verbosity" if long else "brevity"
    allowed = f"{least:g} to {most:g}" if least and most else f"at most {most:g}" if most else f"at least {least:g}"
    words = (
        f"completions are {own['mean']:.2f} times as long [{own['low']:.2f}, {own['high']:.2f}] as the reference's: "
        f"{'length' if long else 'saying less'} is being rewarded; the budget allows {allowed}"
    )
    evidence = {"length_ratio": own, "limit": [least, most]}
    yield Alarm(name, "length_ratio", view.step, "breach", words, evidence, examples(view, "length", bool(long)))


def _shares(view: View) -> Iterator[Alarm]:
    """Shares that may change by so many points in one direction, however far in the other."""
    told = {
        "over-refusal": ("benign_refusal", "what should be answered is refused"),
        "under-refusal": ("unsafe_refusal", "what should be refused is answered"),
        "factuality": ("factuality", "right facts are being lost"),
    }
    for name, (metric, meaning) in told.items():
        allowed, found = view.budget[metric], change(view, metric)
        if not allowed or found is None:
            continue
        up = allowed > 0
        if (found.rises if up else found.falls) and abs(found.change.mean) * 100 > abs(allowed):
            words = f"{meaning}: {metric} {points(found)}; the budget allows {allowed:+g}"
            evidence = {metric: found.evidence(), "limit": allowed, "slices": _slices(view, metric)}
            yield Alarm(name, metric, view.step, "breach", words, evidence, examples(view, metric, up))


def _slices(view: View, metric: str) -> dict[str, dict[str, float]]:
    """The change within each slice."""
    names = (now(view, metric) or {}).get("slices", {})
    found = {name: change(view, metric, part=lambda slice_, name=name: slice_ == name) for name in names}
    return {name: told.evidence() for name, told in found.items() if told}


def _missing_eos(view: View) -> Iterator[Alarm]:
    """Too many completions without an end; no breach where the start had as many."""
    limit, own = view.budget["missing_eos"], now(view, "stopped")
    if not limit or own is None or not 1 - own["mean"] > limit:
        return
    found = change(view, "stopped")
    drifted = found is not None and found.falls
    words = f"{100 * (1 - own['mean']):.1f} % of completions do not end by themselves, over {100 * limit:g} %" + (
        "" if drifted else ", as at the start: max_new may be too small, or the stop token was never learned"
    )
    evidence = {"stopped": own, "limit": limit} | ({"change": found.evidence()} if found else {})
    severity = "breach" if drifted else "alarm"
    yield Alarm("missing-eos", "stopped", view.step, severity, words, evidence, examples(view, "stopped", False))


def _entropy(view: View) -> Iterator[Alarm]:
    share, means = view.budget["entropy"], series(view, "entropy")
    if not share or len(means) < 2 or means[-1] >= share * means[0]:
        return
    words = (
        f"entropy is {means[-1]:.3f} nats a token, {means[-1] / means[0]:.2f} of the start's {means[0]:.3f}, under "
        f"{share:g} of it: the policy says the same over and over"
    )
    evidence = {"entropy": now(view, "entropy"), "start": means[0], "limit": share}
    yield Alarm("entropy-collapse", "entropy", view.step, "breach", words, evidence, examples(view, "entropy", False))
