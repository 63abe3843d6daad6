"""What a run would be, before it is one: `prefjax train --dry_run` and `prefjax doctor`."""

import json
import math
import time
from typing import Any

import jax
import jax.numpy as jnp

from prefjax.config import base, hparams
from prefjax.log import environment
from prefjax.train import one_step, setup
from prefjax.types import Setup


def describe(config: Any) -> str:
    """The resolved config, a table of the parameters, and the memory that the compiled step will use."""
    run = setup(config, dry=True)
    return "\n\n".join(
        [
            json.dumps(config.to_dict(), indent=1, ensure_ascii=False),
            "data: " + json.dumps(run.facts),
            _table(jax.eval_shape(run.algorithm.init, jax.random.key(0), run.params).params),
            _memory(run),
        ]
    )


def _table(params: Any) -> str:
    rows = [
        ("/".join(str(getattr(k, "key", k)) for k in path), tuple(x.shape), math.prod(x.shape))
        for path, x in jax.tree_util.tree_leaves_with_path(params)
    ]
    width = max(len(name) for name, _, _ in rows)
    lines = [f"{name:{width}}  {count:>12,}  {shape}" for name, shape, count in rows]
    return "\n".join([*lines, f"{'parameters':{width}}  {sum(count for *_, count in rows):>12,}"])


def _memory(run: Setup) -> str:
    """Bytes of the step as compiled for this device: what it is given, what it returns and what it needs meanwhile."""
    key = jax.random.key(0)
    state = jax.eval_shape(run.algorithm.init, key, run.params)
    step = run.parallel.update(one_step(run.algorithm.step))
    step = step.lower(state, run.frozen, run.hparams, run.batch_at(0), key).compile()
    memory = step.memory_analysis()
    size = lambda tree: sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))
    peak = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    parts = {
        "parameters": size(state.params),
        "optimizer and averages": size(state) - size(state.params),
        "frozen models": size([x for x in jax.tree.leaves(run.frozen) if isinstance(x, jax.Array)]),
        "activations and gradients": memory.temp_size_in_bytes,
        "one step in all": peak + memory.temp_size_in_bytes,
    }
    return "\n".join(f"{name:26} {bytes_ / 2**20:10.1f} MiB" for name, bytes_ in parts.items())


def doctor() -> tuple[str, bool]:
    """Versions, devices and a smoke test, and whether it passed.

    Two steps of DPO on one batch: the first loss is log 2, the second below it; and the log-probs of training, in
    chunks, are those of the full logits.
    """
    from prefjax import models, ops
    from prefjax.algorithms import dpo
    from prefjax.types import Pairs, Sequences

    start = time.perf_counter()
    config = base()
    config.optim.schedule, config.optim.lr = "constant()", 1e-2
    model = models.llama(vocab=64, width=32, layers=2, heads=4)
    params = models.init(model, jax.random.key(0))
    tokens = jax.random.randint(jax.random.key(1), (4, 2, 16), 0, 64)
    everything = jnp.ones(tokens.shape, bool)
    sequences = Sequences(tokens, everything, everything.at[..., :8].set(False))
    algorithm = dpo.make(config, {"policy": model, "reference": model})
    step = jax.jit(one_step(algorithm.step))
    state, losses = algorithm.init(jax.random.key(2), params), []
    for _ in range(2):
        batch = Pairs(sequences, jnp.ones(4))
        state, metrics = step(state, {"reference": params}, hparams(config), batch, jax.random.key(3))
        losses.append(float(metrics["loss"].value))
    full = ops.token_logps(jax.jit(model.apply)(params, tokens.reshape(8, 16)), tokens.reshape(8, 16)).reshape(4, 2, 16)
    logps = jax.jit(models.logps, static_argnums=0)(model, params, sequences)
    error = float(jnp.abs(jnp.where(sequences.response, full, 0) - logps).max())
    passed = math.isclose(losses[0], math.log(2), rel_tol=1e-5) and losses[1] < losses[0] and error < 1e-4

    facts = environment()
    lines = [f"{name:18} {number}" for name, number in facts["versions"].items()]
    lines.append(f"{'devices':18} {', '.join(facts['devices'])}")
    lines.append(
        f"{'smoke test':18} DPO loss {losses[0]:.6f} (log 2), then {losses[1]:.6f}; log-probs within {error:.0e}"
    )
    lines.append(f"{'':18} {'ok' if passed else 'FAILED'} in {time.perf_counter() - start:.1f} s")
    return "\n".join(lines), passed
