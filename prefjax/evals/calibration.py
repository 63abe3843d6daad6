"""Whether a reward model, or a policy by its implicit rewards, is as sure of pairs as it is right about them."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from prefjax import reference
from prefjax.data import load
from prefjax.data.batches import epoch
from prefjax.errors import ConfigError
from prefjax.evals.completions import records_of
from prefjax.evals.stats import share
from prefjax.evals.summary import Rows, head, told
from prefjax.processes import fetch
from prefjax.types import Pairs, Setup


def make(
    run: Setup, *, source: str, rows: str = "", bins: int = 10, limit: int = 1024, batch_size: int = 64
) -> Callable[..., dict[str, Any]]:
    """Expected calibration error and the points of a reliability diagram, on every pair of `source`.

    A pair's margin h of rewards says with confidence sigmoid(|h|) which side is better. Of the pairs whose confidence
    lies in one of `bins` equal parts of [1/2, 1], `confidence_K` is the mean confidence, `right_K` the share that is
    right, with its interval, and `share_K` that of all pairs, K the lower end in percent; `ece` is the mean of
    |right - confidence| (Guo et al. 2017, equation 3, https://arxiv.org/abs/1706.04599), `brier` that of
    (sigmoid(h) - target)^2. Where a label is soft, a side is right in the share of its votes.

    Args:
      run: a run of an algorithm whose step says `rewards/margin` of pairs.
      source: call string of a data source.
      rows: call string of the kind of rows, pairs; by default that of the training data.
      bins: of the diagram.
      limit: how many records are used.
      batch_size: pairs at a time.

    Raises:
      ConfigError: the rows are no pairs, or the run is one of `pmap`.
    """
    c = run.config
    if c.parallel == "pmap":
        raise ConfigError("config.parallel is 'pmap', and calibration(...) looks at pairs one by one; use 'jit'")
    if run.nets["policy"].config.attributes:
        raise ConfigError("calibration(...) asks how sure one score is, and the model judges several attributes")
    if bins < 1:
        raise ConfigError(f"calibration(bins={bins}): it should be 1 or more")
    records = records_of(run, source, limit)
    table, counts = load.resolve(rows or c.data.rows, "prefjax.data.rows")(records, run.tokenizer, c.data.max_length)
    load.warn(source, counts, c.data.max_length)
    run.facts.setdefault("calibration", {})[f"{source}[:{len(records)}]"] = counts
    if c.reference == "cached":
        model = run.nets["reference"], run.frozen["reference"]
        table, _ = reference.cached(c, *model, run.parallel, run.tokenizer.digest, table)
    batches: list[Any] = list(epoch(table, min(batch_size, table.size), c.data.max_length))
    if not isinstance(batches[0], Pairs):
        raise ConfigError(f"calibration(source={source!r}): its rows are no pairs; rows should be 'pairs()'")
    margins = run.shared.setdefault("margins", jax.jit(_margins(run.algorithm.step)))
    targets = np.ones(table.size) if table.target is None else np.asarray(table.target, np.float64)

    def evaluate(state, frozen, key):
        parts = [fetch(margins(state, frozen, run.hparams, _without_packing(b), key)) for b in batches]
        found = np.concatenate(parts)[: table.size].astype(np.float64)
        told_of = zip(table.records.tolist(), found.tolist(), targets.tolist(), strict=True)
        return told(
            [head(i, records[i], records[i].get("chosen", "")) | judged(h, target) for i, h, target in told_of],
            lambda rows: measure(rows, bins),
        )

    return evaluate


def judged(margin: float, target: float) -> dict[str, float]:
    """What one pair says: its margin, how sure that is, whether it is right, and the squared error.

    >>> judged(0.0, 1.0)
    {'margin': 0.0, 'confidence': 0.5, 'right': 0.5, 'brier': 0.25}
    """
    confidence = float(1 / (1 + np.exp(-abs(margin))))
    right = 0.5 if margin == 0 else target if margin > 0 else 1 - target
    wins = confidence if margin > 0 else 1 - confidence
    return {"margin": margin, "confidence": confidence, "right": right, "brier": (wins - target) ** 2}


def measure(rows: Rows, bins: int) -> dict[str, Any]:
    """The metrics of rows from `judged`, each with its `record`; a bin without pairs has none but its share."""
    confidence, right = (np.array([row[name] for row in rows]) for name in ("confidence", "right"))
    place = np.minimum((2 * (confidence - 0.5) * bins).astype(int), bins - 1)
    records = np.array([row["record"] for row in rows])
    found: dict[str, Any] = {
        "brier": float(np.mean([row["brier"] for row in rows])),
        "confidence": float(confidence.mean()),
    }
    found |= {"right": float(right.mean()), "ece": 0.0}
    for k in range(bins):
        there, low = place == k, f"{50 + 50 * k / bins:g}"
        found[f"share_{low}"] = float(there.mean())
        if there.any():
            sure, holds = float(confidence[there].mean()), share(right[there], records[there])
            found |= {f"confidence_{low}": sure, f"right_{low}": holds}
            found["ece"] += float(there.mean()) * abs(holds.mean - sure)
    return found


def _margins(step: Callable) -> Callable:
    """Margins `[B]` of a batch of pairs: those that the step says of each alone, whose update nobody asks for."""

    def of_batch(state, frozen, hparams, batch, key):
        def of_one(row):
            alone = jax.tree.map(lambda x: x[None], row)
            return step(state, frozen, hparams, alone, key)[1]["rewards/margin"].total

        return jax.vmap(of_one)(batch._replace(weight=np.ones(batch.weight.shape, np.float32)))

    return of_batch


def _without_packing(batch: Pairs) -> Pairs:
    return batch._replace(sequences=batch.sequences._replace(packing=None))
