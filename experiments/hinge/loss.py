"""A preference loss of one's own: this file and its test are all that it takes.

prefjax train --config=configs/dpo.py --workdir=runs/hinge --config.loss="experiments.hinge.loss:hinge_loss(beta=0.1)"
"""

import jax

from prefjax.losses import implicit
from prefjax.metrics import Mean


def hinge_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """max(0, 1 - h)^2, h the difference of the two implicit rewards: `prefjax.losses.slic_loss` without its corner.

    Arguments as in `prefjax.losses.dpo_loss`.
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    return implicit.pairs(jax.nn.relu(1 - rewards[:, 0] + rewards[:, 1]) ** 2, rewards, where, metrics)
