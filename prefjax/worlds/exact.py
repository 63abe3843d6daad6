"""What is known of any finite world: the best policy at a price of KL, and how far apart two policies are.

float64 on the host. Policies are probabilities over all the responses `[..., S]`, of a bandit or of an enumeration.
"""

from typing import NamedTuple

import numpy as np


class Optimum(NamedTuple):
    """The policy that maximises E r - beta KL(policy || reference), and what it achieves."""

    policy: np.ndarray  # [..., S]
    reward: np.ndarray  # [...], E r
    kl: np.ndarray  # [...], KL(policy || reference), nats
    value: np.ndarray  # [...], J* = E r - beta KL = beta log Z


def optimum(reference: np.ndarray, rewards: np.ndarray, beta: float) -> Optimum:
    """pi* = reference exp(r / beta) / Z, the tilted optimum: Rafailov et al. 2023, equation 4.

    Args:
      reference: `[..., S]` probabilities.
      rewards: `[..., S]`.
      beta: price of a nat; infinity gives the reference.
    """
    reference, rewards = np.asarray(reference, np.float64), np.asarray(rewards, np.float64)
    top = rewards.max(axis=-1, keepdims=True)
    weights = reference * np.exp((rewards - top) / beta)
    policy = weights / weights.sum(axis=-1, keepdims=True)
    reward, divergence = np.sum(policy * rewards, axis=-1), kl(policy, reference)
    return Optimum(policy, reward, divergence, reward - (beta * divergence if np.isfinite(beta) else 0.0))


def kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p || q) `[...]`, in nats; a response of probability 0 under p adds nothing."""
    p, q = np.broadcast_arrays(np.asarray(p, np.float64), np.asarray(q, np.float64))
    ratio = np.divide(p, q, out=np.ones(p.shape), where=p > 0)
    return np.sum(p * np.log(ratio), axis=-1)


def total_variation(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Half the sum of absolute differences `[...]`: the largest difference in the probability of any event."""
    return np.abs(np.asarray(p, np.float64) - np.asarray(q, np.float64)).sum(axis=-1) / 2


def hackable(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether some policy earns more than another by one reward `[S]` and less by the other.

    Skalse et al. 2022 (https://arxiv.org/abs/2209.13085), over all policies: two rewards are unhackable only where
    one is constant, or one is the other times a positive number plus a constant.
    """
    first, second = (np.asarray(x, np.float64) - np.mean(x) for x in (first, second))
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    return bool(lengths > 0 and first @ second < (1 - 1e-12) * lengths)
