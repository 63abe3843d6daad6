"""A preference loss of one's own: this file and its test are all that it takes.

prefjax train --config=configs/dpo.py --workdir=runs/hinge --config.loss="experiments.hinge.loss:hinge_loss(beta=0.1)"
"""

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.metrics import Mean


def hinge_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """max(0, 1 - beta h), h the difference of the two log-ratios: SLiC-HF on ratios to the reference.

    Liu et al. 2023, equation 6 (https://arxiv.org/abs/2309.06657). Arguments as in `prefjax.losses.dpo_loss`.
    """
    mask = mask if where is None else mask & where[:, None, None]
    rewards = beta * ops.sum_tokens(jnp.where(mask, logps, 0) - jnp.where(mask, ref_logps, 0), mask)  # [B, 2]
    margins = rewards[:, 0] - rewards[:, 1]
    metrics = {"rewards/margin": Mean.of(jax.lax.stop_gradient(margins), where)}
    return Mean.of(jax.nn.relu(1 - margins), where), metrics
