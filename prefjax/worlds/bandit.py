"""A bandit of three arms and a policy that is a table of logits: the smallest world of preference tuning.

An arm is a response of one token, so log-probabilities are `[..., 1]`, like those of any model with T = 1.
"""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np

REFERENCE = np.array([0.5, 0.3, 0.2])  # probabilities of the arms
REWARDS = np.array([1.0, 0.0, 2.0])


def logps(logits: jax.Array, arms: jax.Array | np.ndarray) -> jax.Array:
    """Log-probability of each arm under the policy softmax(logits): `[V]`, `[...]` int -> `[..., 1]`."""
    return jax.nn.log_softmax(logits)[arms][..., None]


def score(arms: jax.Array | np.ndarray) -> jax.Array:
    """Reward of each arm, float32."""
    return jnp.asarray(REWARDS, jnp.float32)[arms]


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """All pairs of arms `[M, 2]`, and the probability `[M]` that a Bradley-Terry rater prefers the first."""
    arms = np.array(list(combinations(range(len(REWARDS)), 2)))
    gaps = REWARDS[arms[:, 0]] - REWARDS[arms[:, 1]]
    return arms, (1 / (1 + np.exp(-gaps))).astype(np.float32)
