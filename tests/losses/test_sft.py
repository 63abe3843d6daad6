"""sft_loss against a float64 oracle, per token and per sequence."""

import numpy as np
import pytest

from prefjax.losses import sft_loss


def test_float64_oracle():
    rng = np.random.default_rng(0)
    logps = rng.normal(-2, 1, (16, 9)).astype(np.float32)
    mask = np.arange(9) < rng.integers(1, 10, (16, 1))
    total = -(logps.astype(np.float64) * mask).sum()
    assert sft_loss(logps, mask)[0].value == pytest.approx(total / mask.sum(), rel=1e-6)
    assert sft_loss(logps, mask, per="sequence")[0].value == pytest.approx(total / 16, rel=1e-6)
    assert sft_loss(logps, mask)[1]["logps/response"].value == pytest.approx(-total / 16, rel=1e-6)


def test_tokens_weigh_alike_whatever_the_lengths():
    logps = np.array([[-1.0, 0.0, 0.0], [-2.0, -2.0, -2.0]], np.float32)
    mask = np.array([[True, False, False], [True, True, True]])
    assert sft_loss(logps, mask)[0].value == pytest.approx((1 + 6) / 4)
    assert sft_loss(logps, mask, per="sequence")[0].value == pytest.approx((1 + 6) / 2)
    assert sft_loss(logps, mask, per="response")[0].value == pytest.approx((1 + 6 / 3) / 2)


def test_unknown_per_is_refused():
    with pytest.raises(ValueError, match="per: expected 'token', 'response' or 'sequence', got 'row'"):
        sft_loss(np.zeros((1, 2), np.float32), np.ones((1, 2), bool), per="row")
