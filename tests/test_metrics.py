"""Means as sums."""

import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.metrics import Mean, merge


def test_parts_merge_to_the_whole_even_where_they_weigh_differently():
    x, where = jnp.arange(6.0), jnp.array([True, True, True, False, True, False])
    whole = Mean.of(x, where)
    parts = merge({"x": Mean.of(x[:3], where[:3])}, {"x": Mean.of(x[3:], where[3:])})
    assert parts["x"].value == whole.value == (0 + 1 + 2 + 4) / 4


def test_an_empty_mean_is_zero():
    assert Mean.of(jnp.ones(3), jnp.zeros(3, bool)).value == 0


def test_a_mask_ignores_nan_under_it_and_hides_none_outside():
    x = jnp.array([1.0, jnp.nan])
    assert Mean.of(x, jnp.array([True, False])).value == 1
    assert np.isnan(Mean.of(x, jnp.array([True, True])).value)


def test_integer_scores_keep_their_fractions():
    scores = jnp.array([0.7, 1.9])
    assert Mean.of(scores).value == pytest.approx(1.3)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"where: expected shape \[3\], got \[3, 1\]"):
        Mean.of(jnp.ones(3), jnp.ones((3, 1), bool))
