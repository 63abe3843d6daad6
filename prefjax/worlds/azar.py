"""Three arms and hard preferences, from which DPO forgets its reference and IPO does not.

Azar et al. 2023, section 5.4 (https://arxiv.org/abs/2310.12036). The reference is uniform.
"""

from typing import NamedTuple

import numpy as np

A, B, C = range(3)


class Dataset(NamedTuple):
    """Preferences between arms, and where DPO ends up with them, at any beta."""

    pairs: np.ndarray  # [M, 2]: preferred, other
    dpo: np.ndarray  # [3], the limit of the policy


DATASETS = {
    "D1": Dataset(np.array([(A, B), (B, C), (A, C)]), np.array([1.0, 0.0, 0.0])),  # a total order
    "D2": Dataset(np.array([(A, B), (B, C), (C, A)]), np.array([1 / 3, 1 / 3, 1 / 3])),  # a cycle
    "D3": Dataset(np.array([(A, B), (B, A)]), np.array([1 / 3, 1 / 3, 1 / 3])),  # nothing is said of c
    "D3 and (a, c)": Dataset(np.array([(A, B), (B, A), (A, C)]), np.array([0.5, 0.5, 0.0])),
}


def ipo_optimum(pairs: np.ndarray, tau: float, arms: int = 3) -> np.ndarray:
    """The policy `[arms]` that minimises the IPO loss over `pairs`, from a uniform reference.

    The loss is a sum of squares (x_w - x_l - 1 / (2 tau))^2 in the log-ratios x, so that it is a linear problem; an arm
    in no pair keeps the logit it started from, 0, as with gradient descent.
    """
    rows = np.arange(len(pairs))
    design = np.zeros((len(pairs), arms))
    design[rows, pairs[:, 0]], design[rows, pairs[:, 1]] = 1.0, -1.0
    logits = np.linalg.lstsq(design, np.full(len(pairs), 1 / (2 * tau)), rcond=None)[0]
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
