"""What the policy writes: length, stops, distance to the reference, reward, and what a judge says of the texts."""

import math
from collections.abc import Callable
from typing import Any

import jax

from prefjax import models, ops, rewards
from prefjax.data import load
from prefjax.processes import fetch
from prefjax.resolve import resolve
from prefjax.sampling.complete import answers, sample
from prefjax.types import Setup


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

    Returns the means, over completions, of `length` (tokens, the stop token included) and `stopped` (share that ended
    by itself); with a frozen reference `kl`, nats a sequence, the k3 estimate of KL(policy || reference) at
    temperature 1; `reward`, that of `config.reward`, or of a frozen reward model; and of all that the judge says. Every
    completion is a row of `samples`, with these values.

    Args:
      run: the run.
      source: call string of a data source whose records have prompts.
      judge: call string of a function (records, texts) -> {name: a number or None for each text}; None leaves a text
        out of the mean of that name.
      limit: how many records are used.
      n: completions of each.
      max_new, temperature, batch_size: as in `prefjax.sampling.complete.sample`.
    """
    records = load.records(source, limit)
    judged = resolve(judge) if judge else lambda records, texts: {}
    net, nets = run.nets["policy"], run.nets
    named = run.config.reward or ("model()" if "reward" in nets else "")
    score = rewards.make(named, nets, run.tokenizer, lambda: records) if named else None

    @jax.jit
    def measure(params, frozen, sequences, ids):
        found = {}
        if "reference" in frozen:
            logps = models.logps(net, params, sequences)
            ref_logps = models.logps(nets["reference"], frozen["reference"], sequences)
            found["kl"] = ops.sum_tokens(ops.kl_k3(logps, ref_logps), sequences.response)
        if score is not None:
            found["reward"], parts = score(frozen, sequences, ids)
            found |= {f"reward/{name}": part for name, part in parts.items()} if len(parts) > 1 else {}
        return found

    def evaluate(state, frozen, key):
        rows: list[dict[str, Any]] = []
        knobs: dict[str, Any] = {"n": n, "max_new": max_new, "temperature": temperature, "batch_size": batch_size}
        for batch in sample(net, state.params, run.tokenizer, records, key, **knobs):
            measured = fetch(measure(state.params, frozen, batch.sequences, batch.records))
            for at, answer in enumerate(answers(batch, run.tokenizer)):
                record = records[answer.record]
                row = {"record": answer.record, "slice": record.get("slice")}
                row |= {"prompt": record["prompt"], "response": answer.text}
                row |= {"length": answer.length, "stopped": float(answer.stopped)}
                rows.append(row | {name: float(values[at]) for name, values in measured.items()})
        verdicts = judged([records[row["record"]] for row in rows], [row["response"] for row in rows])
        for name, values in verdicts.items():
            for row, value in zip(rows, values, strict=True):
                row[name] = None if value is None else float(value)
        names = [name for name in rows[0] if name not in ("record", "slice", "prompt", "response")]
        means = {name: [row[name] for row in rows if row[name] is not None] for name in names}
        return {name: math.fsum(values) / len(values) for name, values in means.items() if values} | {"samples": rows}

    return evaluate
