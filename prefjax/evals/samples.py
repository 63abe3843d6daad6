"""What the policy writes: length, stops, distance to the reference, reward, and what a judge says of the texts."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from prefjax import models, ops, rewards
from prefjax.evals.completions import Completion, batched, completions, of_reference, records_of
from prefjax.evals.stats import ratio
from prefjax.evals.summary import means, told
from prefjax.processes import fetch
from prefjax.resolve import resolve
from prefjax.types import Setup

_log = logging.getLogger(__name__)


def make(
    run: Setup,
    *,
    source: str,
    judge: str = "",
    limit: int = 64,
    n: int = 1,
    max_new: int = 64,
    temperature: float = 1.0,
    batch_size: int = 64,
) -> Callable[..., dict[str, Any]]:
    """Samples completions of the prompts of `source`, with the same noise at every step.

    Every completion is a row of `samples`, with these values, whose means over completions are returned:

    - `length` (tokens, the stop token included), `stopped` (1 if it ended by itself), `entropy` (of the policy along
      it, nats a token).
    - `kl_exact`, KL(policy || reference) along the sampled prefixes, of whole vocabularies, and its estimates `kl_k1`
      and `kl` (k3): nats a sequence, at temperature 1.
    - `length_reference`, the mean length of the original reference's own completions of the prompt; beside it
      `length_ratio`, the ratio of the mean lengths with its interval.
    - `reward`, that of `config.reward`, or of a frozen reward model; and all that the judge says.

    Completions whose reward, or what a judge says, is no finite number are left out of its mean, and a warning says so.
    Without a frozen reference there is no KL and no length ratio, and a warning says so. A reference that moves is not
    the one that is measured to: the original is.

    Args:
      run: the run.
      source: call string of a data source whose records have prompts.
      judge: call string of a function (records, texts) -> {name: a number or None for each text}; None leaves a text
        out of the mean of that name.
      limit: how many records are used.
      n: completions of each.
      max_new, temperature, batch_size: as in `prefjax.sampling.complete.sample`.
    """
    knobs = {"limit": limit, "n": n, "max_new": max_new, "temperature": temperature, "batch_size": batch_size}
    written, judged = completions(run, source, **knobs), resolve(judge) if judge else lambda records, texts: {}
    asked = "measure", source, limit
    if asked not in run.shared:  # compiled once for all runs of a program
        run.shared[asked] = _measure(run, records_of(run, source, limit))
    measured = run.shared[asked]
    if "reference" not in run.nets:
        _log.warning("samples(source=%r): frozen.reference is not set: no KL and no length_ratio is measured", source)
    usual = of_reference(run, source, **knobs) if "reference" in run.nets else None

    def evaluate(state, frozen, key):
        found = written(state, key)
        rows = [c.row | {"length": c.length, "stopped": float(c.stopped)} for c in found]
        numbers: list[dict[str, float]] = []
        placed = run.parallel.place(frozen)  # models that wait on the host are sent once, and not for every batch
        for count, sequences, ids in batched(found, batch_size):
            values = fetch(measured(state.params, placed, sequences, ids))
            numbers += [{name: float(x[at]) for name, x in values.items()} for at in range(count)]
        rows = [row | more for row, more in zip(rows, numbers, strict=True)]
        said = judged([c.record for c in found], [c.text for c in found])
        for name, values in said.items():
            for row, value in zip(rows, values, strict=True):
                row[name] = None if value is None else float(value)
        _leave_out(rows, [*said, *(name for name in rows[0] if name.partition("/")[0] == "reward")])
        if usual:
            _put_beside(rows, usual(frozen, key))
        return told(rows, measures)

    return evaluate


def measures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The means of rows, and the ratio of all lengths to the reference's."""
    found = means(rows)
    if found.pop("length_reference", None) is None:
        return found
    mine, usually, records = ([row[name] for row in rows] for name in ("length", "length_reference", "record"))
    return found | {"length_ratio": ratio(mine, usually, records)}


def _leave_out(rows: list[dict[str, Any]], names: Sequence[str]) -> None:
    """Puts None where a number is not finite: the mean of the others is still worth knowing."""
    for name in names:
        wrong = [row for row in rows if row[name] is not None and not math.isfinite(row[name])]
        for row in wrong:
            row[name] = None
        if wrong:
            _log.warning("%s of %d of %d completions is not finite: they are left out", name, len(wrong), len(rows))


def _measure(run: Setup, records: list[dict[str, Any]]) -> Callable[..., dict[str, jax.Array]]:
    """(params, frozen, sequences `[B, T]`, ids `[B]`) -> {metric: `[B]`}, from one pass of each model."""
    net, nets = run.nets["policy"], run.nets
    named = run.config.reward or ("model()" if "reward" in nets else "")
    score = rewards.make(named, nets, run.tokenizer, lambda: records) if named else None

    @jax.jit
    def measure(params, frozen, sequences, ids):
        mask, found = sequences.response, {}
        total = lambda x: ops.sum_tokens(x, mask)
        if "reference" in frozen:
            both = models.divergence(net, params, nets["reference"], frozen["reference"], sequences)
            found["kl"] = total(ops.kl_k3(both.logps, both.ref_logps))
            found |= {"kl_exact": total(both.kl), "kl_k1": total(ops.kl_k1(both.logps, both.ref_logps))}
            entropy = both.entropy
        else:
            hidden = net.apply(params, sequences.tokens, method="hidden")
            _, entropy = models.logps_and_entropy(net, params, hidden, sequences)
        found["entropy"] = ops.mean_tokens(entropy, mask)
        if score is not None:
            found["reward"], parts = score(frozen, sequences, ids)
            found |= {f"reward/{name}": part for name, part in parts.items()} if len(parts) > 1 else {}
        return found

    return measure


def _put_beside(rows: list[dict[str, Any]], usual: list[Completion]) -> None:
    """Gives each row the mean length of the reference's completions of its prompt."""
    lengths: dict[int, list[int]] = {}
    for completion in usual:
        lengths.setdefault(completion.index, []).append(completion.length)
    for row in rows:
        row["length_reference"] = math.fsum(lengths[row["record"]]) / len(lengths[row["record"]])
