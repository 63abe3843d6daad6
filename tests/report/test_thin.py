"""Long curves as few points: nothing that stood out is lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prefjax.report.thin import smooth, thin

numbers = st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")) | st.just(float("inf")), min_size=1, max_size=200)


@given(numbers, st.integers(1, 50))
def test_bins_keep_the_extremes_and_the_mean_and_count_what_is_not_finite(values, bins):
    curve, all_ = thin(range(len(values)), values, bins), np.array(values)
    known = all_[np.isfinite(all_)]
    assert len(curve.mean) == min(bins, len(values))
    assert (curve.logged, curve.lost) == (len(values), len(values) - len(known))
    assert (np.diff(curve.steps) > 0).all()
    if len(known):
        assert np.nanmin(curve.low) == known.min()
        assert np.nanmax(curve.high) == known.max()
        parts = np.arange(len(values)) * len(curve.mean) // len(values)
        sizes = np.array([np.isfinite(all_[parts == part]).sum() for part in range(len(curve.mean))])
        np.testing.assert_allclose(np.nansum(curve.mean * sizes), known.sum(), atol=1e-6 * np.abs(known).sum() + 1e-9)
    else:
        assert np.isnan(curve.mean).all()


def test_a_short_curve_is_kept_as_it_is():
    curve = thin([5, 10], [1.0, 2.0])
    assert curve.steps.tolist() == [5, 10]
    assert curve.low.tolist() == curve.mean.tolist() == curve.high.tolist() == [1, 2]
    np.testing.assert_allclose(smooth(curve), [1, 2])


def test_a_smoothed_constant_is_the_constant_and_a_gap_stays_a_gap():
    values = [3.0] * 100
    values[40] = float("nan")
    soft = smooth(thin(range(100), values))
    assert np.isnan(soft[40])
    np.testing.assert_allclose(np.delete(soft, 40), 3.0)


def test_noise_is_smoothed():
    noise = np.random.default_rng(0).normal(size=400)
    assert smooth(thin(range(400), noise)).std() < 0.4
