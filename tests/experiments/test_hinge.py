"""The loss of experiments/hinge."""

import jax.numpy as jnp
import pytest

from experiments.hinge.loss import hinge_loss
from prefjax.resolve import resolve


@pytest.mark.parametrize(("h", "expected"), [(2.0, 0.64), (0.0, 1.0), (-5.0, 2.25), (20.0, 0.0)])
def test_closed_values(h, expected):
    logps = jnp.array([[[h], [0.0]]])
    mask = jnp.ones((1, 2, 1), bool)
    assert hinge_loss(logps, jnp.zeros_like(logps), mask, beta=0.1)[0].value == pytest.approx(expected)


def test_a_config_finds_it_by_its_call_string():
    call = resolve("experiments.hinge.loss:hinge_loss(beta=0.2)", "prefjax.losses")
    assert call.function is hinge_loss
    assert call.numbers == {"beta": 0.2}
