"""What a run would be, before it is one: `prefjax train --dry_run` and `prefjax doctor`."""

import datetime
import json
import math
import time
from typing import Any

import jax
import jax.numpy as jnp

from prefjax import host, memory
from prefjax.config import base, hparams
from prefjax.log import environment
from prefjax.setup import setup
from prefjax.train import one_step, shapes, start, update
from prefjax.types import Setup


def describe(config: Any) -> str:
    """The resolved config, the parameters, the memory a run will need, and, of a few steps taken, its time."""
    host.give_back_after_compiling()
    run, key = setup(config, dry=True), jax.random.key(config.seed)
    state, batch = shapes(run), run.batch_at(0)
    step = update(run).lower(state, run.frozen, run.hparams, batch, key).compile()
    return "\n\n".join(
        [
            json.dumps(config.to_dict(), indent=1, ensure_ascii=False),
            "data: " + json.dumps(run.facts),
            _table(state.params, jax.eval_shape(run.whole, state.params, run.frozen, run.hparams)),
            _memory(memory.needed(step, state, run.frozen, batch)),
            _time(run, step, batch, key),
        ]
    )


def _table(params: Any, whole: Any) -> str:
    """The parameters of the whole model, of which `params` are trained."""
    named = lambda tree: {
        "/".join(str(getattr(k, "key", k)) for k in path): x.shape
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    }
    trained, shapes = named(params), {name: x for name, x in named(whole).items() if not name.endswith("lora_scale")}
    width = max(map(len, shapes))
    line = lambda name, sizes, more: f"{name:{width}}  {sum(map(math.prod, sizes)):>12,}  {more}".rstrip()
    lines = [line(name, [shape], f"{shape}{'' if name in trained else ' frozen'}") for name, shape in shapes.items()]
    lines.append(line("parameters", shapes.values(), ""))
    return "\n".join(lines if len(trained) == len(shapes) else [*lines, line("trained", trained.values(), "")])


def _memory(needs: memory.Needs) -> str:
    """Bytes of a step on one device, by the compiler's own account, and of the process at its peak.

    A run compiles the step beside its state, which may need more than to take it.
    """
    parts, (_, most) = needs.parts | {"a device, in all": needs.device}, host.resident()
    if jax.default_backend() != "cpu":
        parts["the process, on the host"] = most
    elif most:
        parts["runtime and programs"] = needs.runtime
        parts["the process, at its peak"] = max(most + needs.state, needs.process)
    return "\n".join(f"{name:26} {bytes_ / 2**20:10.1f} MiB" for name, bytes_ in parts.items())


def _time(run: Setup, step: Any, batch: Any, key: jax.Array) -> str:
    """Seconds of a step and of the run, of a batch stepped on three times: the first is slower and left out."""
    state = start(run)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        state, metrics = step(state, run.frozen, run.hparams, batch, key)
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - began)
    each, tokens = sum(seconds[1:]) / 2, int(getattr(batch, "sequences", batch).valid.sum())
    total = datetime.timedelta(seconds=round(each * run.config.steps))
    rows = {
        "a step": f"{each:10.3f} s",
        "tokens, prompts included": f"{tokens / each:10,.0f} a second",
        f"{run.config.steps} steps": f"{total!s:>10} h:mm:ss, evaluations and checkpoints apart",
    }
    return "\n".join(f"{name:26} {text}" for name, text in rows.items())


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
