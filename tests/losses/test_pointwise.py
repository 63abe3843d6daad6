"""Losses on each reward of a pair: an oracle in float64, and which way each pulls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import apo_down_loss, apo_zero_loss, bco_loss, nca_loss, sppo_loss

ZERO = jnp.zeros((1, 2, 1))
MASK = jnp.ones((1, 2, 1), bool)


def at(loss, chosen, rejected, **knobs):
    """A loss at log-ratios of the chosen and of the rejected response."""
    return loss(jnp.array([[[chosen], [rejected]]]), ZERO, MASK, **knobs)[0].value


def pull(loss, chosen=0.0, rejected=0.0, **knobs):
    """The directions in which a step of gradient descent moves the two log-ratios."""
    both = jax.grad(lambda x: at(loss, x[0], x[1], **knobs))(jnp.array([chosen, rejected]))
    return np.sign(-both).tolist()


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


def sigmoid(x):
    return np.exp(log_sigmoid(x))


ORACLES = {
    nca_loss: lambda w, lo, b: -log_sigmoid(b * w) - log_sigmoid(-b * w) / 2 - log_sigmoid(-b * lo) / 2,
    bco_loss: lambda w, lo, b: -log_sigmoid(b * w) - log_sigmoid(-b * lo),
    sppo_loss: lambda w, lo, b: (w - 0.5 / b) ** 2 + (lo + 0.5 / b) ** 2,
    apo_zero_loss: lambda w, lo, b: sigmoid(-b * w) + sigmoid(b * lo),
    apo_down_loss: lambda w, lo, b: sigmoid(b * w) + sigmoid(-b * (w - lo)),
}


@pytest.mark.parametrize("loss", ORACLES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize(("chosen", "rejected"), [(0.0, 0.0), (2.0, -1.0), (-3.0, 0.5), (15.0, 20.0)])
def test_against_float64(loss, chosen, rejected):
    np.testing.assert_allclose(at(loss, chosen, rejected, beta=0.5), ORACLES[loss](chosen, rejected, 0.5), rtol=2e-6)


@pytest.mark.parametrize("loss", [nca_loss, bco_loss, sppo_loss, apo_zero_loss])
def test_at_the_start_the_chosen_response_rises_and_the_rejected_one_falls(loss):
    assert pull(loss) == [1, -1]


def test_apo_down_lowers_both_once_they_are_told_apart():
    assert pull(apo_down_loss, chosen=0.0, rejected=-50.0) == [-1, -1]


def test_sppo_rests_at_half_over_beta():
    assert at(sppo_loss, 5.0, -5.0, beta=0.1) == 0


def test_nca_stops_raising_what_is_three_times_as_likely():
    rest = float(np.log(2)) / 0.1  # sigmoid(r) = 2/3: -d log s(r) = d log s(-r) / 2
    assert pull(nca_loss, chosen=rest - 1)[0] == 1
    assert pull(nca_loss, chosen=rest + 1)[0] == -1


def test_the_shift_of_bco_is_a_shift_of_both_rewards():
    np.testing.assert_allclose(at(bco_loss, 3.0, 1.0, beta=0.5, shift=0.5), at(bco_loss, 2.0, 0.0, beta=0.5), rtol=1e-6)
