"""Calibration: the error and the diagram by hand, and margins of a reward model and of a policy."""

import numpy as np
import pytest

from prefjax import models
from prefjax.errors import ConfigError
from prefjax.evals import calibration
from prefjax.evals.calibration import judged, measure
from prefjax.evals.stats import wilson
from tests.evals.conftest import of_pairs

SOURCE = "prefjax.worlds.desk:pairs(split='validation', n=12)"


def rows_of(judgements):
    """Rows of pairs of a record each, from margins and targets."""
    return [{"record": record} | judged(*one) for record, one in enumerate(judgements)]


def test_by_hand():
    sure, unsure = np.log(19), np.log(0.65 / 0.35)  # of 95 % and of 65 %
    rows = rows_of((h, 1.0) for h in (sure, sure, sure, -sure, unsure, -unsure))
    found = measure(rows, 5)
    assert [found[f"share_{k}"] for k in (50, 60, 70, 80, 90)] == pytest.approx([0, 1 / 3, 0, 0, 2 / 3], abs=1e-12)
    assert found["right_90"] == wilson(3, 4) and found["right_60"] == wilson(1, 2) and "right_70" not in found
    assert found["ece"] == pytest.approx((4 * 0.2 + 2 * 0.15) / 6)
    assert found["brier"] == pytest.approx((3 * 0.0025 + 0.9025 + 0.1225 + 0.4225) / 6)


def test_votes_are_right_in_part():
    assert judged(2.0, 0.75)["right"] == 0.75 and judged(-2.0, 0.75)["right"] == 0.25
    assert judged(np.log(3), 0.75)["brier"] == pytest.approx(0)


def test_labels_drawn_from_the_margins_are_calibrated():
    rng = np.random.default_rng(0)
    margins = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-margins))).astype(float)
    assert measure(rows_of(zip(margins, labels, strict=True)), 10)["ece"] < 0.01
    assert measure(rows_of(zip(3 * margins, labels, strict=True)), 10)["ece"] > 0.1


def test_pairs_of_one_record_are_not_so_many_records():
    alone = measure([{"record": 0} | judged(1.0, label) for label in (0.0, 1.0)], 1)["right_50"]
    assert alone.mean == 0.5 and np.isnan(alone.low)


@pytest.mark.parametrize("algorithm", ["reward", "dpo"])
def test_margins_are_those_of_the_step(algorithm):
    run, state = of_pairs(algorithm)
    found = calibration.make(run, source=SOURCE)(state, run.frozen, None)
    batch = run.batch_at(0)
    _, metrics = run.algorithm.step(state, run.frozen, run.hparams, batch, None)
    again = calibration.make(run, source=run.config.data.train, limit=8, batch_size=3)(state, run.frozen, None)
    margins = [row["margin"] for row in again["samples"]]
    everything = calibration.make(run, source=run.config.data.train)(state, run.frozen, None)["samples"]
    np.testing.assert_allclose(margins, [row["margin"] for row in everything], rtol=1e-4, atol=1e-5)
    assert len(found["samples"]) == 12 and abs(metrics["rewards/margin"].value) <= max(map(abs, margins))
    assert run.facts["calibration"][f"{SOURCE}[:12]"]["rows"] == 12
    assert {row["slice"] for row in found["samples"]} and 0 <= found["ece"] <= 0.5


def test_rows_that_are_no_pairs_are_refused(tiny):
    run, _ = tiny
    with pytest.raises(ConfigError, match="its rows are no pairs; rows should be 'pairs"):
        calibration.make(run, source="prefjax.worlds.desk:demos(n=4)")


def test_a_model_of_attributes_is_refused(tiny):
    run, _ = tiny
    nets = {"policy": models.judging(run.nets["policy"], ("fact", "warmth"))}
    with pytest.raises(ConfigError, match="how sure one score is"):
        calibration.make(run._replace(nets=nets), source="prefjax.worlds.desk:pairs(n=8)")
