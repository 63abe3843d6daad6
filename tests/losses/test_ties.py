"""Ties and grades: chances that add to one, oracles in float64, and what each model is of the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import bradley_terry_loss, davidson_loss, ordinal_loss, rao_kupper_loss

H = np.float32([-30, -2, -0.3, 0, 0.1, 1, 4, 30])
REWARDS = np.stack([H + 1, np.ones_like(H)], axis=1)


def each(loss, **knobs):
    """The loss of each pair."""
    labels = {k: v for k, v in knobs.items() if k in ("target", "grade")}
    rest = {k: v for k, v in knobs.items() if k not in labels}
    one = lambda r, label: loss(r[None], **{k: x[None] for k, x in label.items()}, **rest)[0].value
    return jax.vmap(one)(jnp.asarray(REWARDS), {k: jnp.full(len(H), v, jnp.float32) for k, v in labels.items()})


def sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def test_the_chances_of_rao_and_kupper_and_of_davidson():
    win, tie, loss = (each(rao_kupper_loss, target=q, theta=3.0) for q in (1.0, 0.5, 0.0))
    np.testing.assert_allclose(win, -np.log(sigmoid(H - np.log(3))), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.exp(-win) + np.exp(-tie) + np.exp(-loss), 1, rtol=1e-5)
    a, b = np.exp(np.float64(H) / 2), np.exp(-np.float64(H) / 2)
    for q, chance in ((1.0, a), (0.5, 0.7), (0.0, b)):
        np.testing.assert_allclose(each(davidson_loss, target=q, nu=0.7), -np.log(chance / (a + b + 0.7)), 1e-5, 1e-6)


@pytest.mark.parametrize("loss", [rao_kupper_loss, davidson_loss])
def test_a_target_between_is_a_tie_in_part(loss):
    win, tie, some = (each(loss, target=q) for q in (1.0, 0.5, 0.75))
    np.testing.assert_allclose(some, (win + tie) / 2, rtol=1e-5)
    gradient = jax.grad(lambda r: loss(r, target=jnp.full(1, 0.5))[0].value)(jnp.array([[1.0, 0.0]]))
    assert gradient[0, 0] > 0 > gradient[0, 1]  # a tie draws them together


def test_without_ties_they_are_bradley_terry():
    expected = bradley_terry_loss(REWARDS)[0].value
    np.testing.assert_allclose(rao_kupper_loss(REWARDS, theta=1.0 + 1e-6)[0].value, expected, rtol=1e-5)
    np.testing.assert_allclose(davidson_loss(REWARDS, nu=1e-9)[0].value, expected, rtol=1e-5)


def test_grades_are_what_lies_between_two_cuts():
    losses = {k: each(ordinal_loss, grade=k) for k in range(-3, 4)}
    np.testing.assert_allclose(sum(np.exp(-x) for x in losses.values()), 1, rtol=1e-5)
    bounds = [-np.inf, -3, -1.5, -0.5, 0.5, 1.5, 3, np.inf]
    for k, found in losses.items():
        chance = sigmoid(H[1:-1] - bounds[k + 3]) - sigmoid(H[1:-1] - bounds[k + 4])
        np.testing.assert_allclose(found[1:-1], -np.log(chance), rtol=1e-4)
        assert np.isfinite(found).all()  # where the difference of two sigmoids would round to 0
    better = sum(np.exp(-losses[k]) for k in (1, 2, 3))
    np.testing.assert_allclose(better, np.exp(-each(rao_kupper_loss, target=1.0, theta=np.exp(0.5))), rtol=1e-4)


def test_labels_of_pairs_that_do_not_count_may_be_nan():
    where = np.arange(len(H)) > 2
    for loss, name in ((rao_kupper_loss, "target"), (davidson_loss, "target"), (ordinal_loss, "grade")):
        label = np.where(where, 1, np.nan).astype(np.float32)
        spoiled = np.where(where[:, None], REWARDS, np.nan).astype(np.float32)
        value, gradient = jax.value_and_grad(lambda r: loss(r, **{name: label}, where=where)[0].value)(spoiled)  # noqa: B023
        assert value == pytest.approx(float(loss(REWARDS[where], **{name: label[where]})[0].value), rel=1e-5)
        assert np.isfinite(gradient).all() and not gradient[:3].any()


@pytest.mark.parametrize("grade", [4.0, -3.5, 0.5, np.nan])
def test_a_grade_that_is_none_is_loud(grade):
    assert np.isnan(ordinal_loss(REWARDS[:2], grade=np.float32([1, grade]))[0].value)
