"""The page of losses says what the code says."""

from pathlib import Path

import numpy as np
import pytest

from docs import losses as written
from docs import losses_facts as facts
from docs import losses_figure as figure
from prefjax import losses


def test_the_page_is_that_of_the_code():
    page = written.page()
    assert Path(written.__file__).with_suffix(".md").read_text() == page, "python -m docs.losses writes it"
    assert all(f"`{name}(" in page for name in losses.__all__)


def test_what_is_said_of_losses_is_said_of_those_there_are():
    assert {*facts.DEFAULTS, *facts.TRL, *facts.OTHERS} <= set(losses.__all__)


def test_what_a_loss_eats():
    eats = {name: written._eats(getattr(losses, name)) for name in losses.__all__}
    assert eats["kto_loss"] == "judged responses, mismatched ones, a reference, whole batches; targets"
    assert eats["bco_unpaired_loss"] == "judged responses, a reference, whole batches; targets"
    assert eats["lipo_loss"] == "rankings, a reference; ranks"
    assert eats["bradley_terry_loss"] == "rewards of pairs; margins, targets"
    assert eats["ppo_policy_loss"] == eats["policy_gradient_loss"] == "rollouts"
    assert (eats["sft_loss"], eats["simpo_loss"]) == ("demonstrations", "pairs")


def test_every_loss_on_pairs_has_a_curve():
    found = {title.partition(" ")[0] + "_loss": (value, slope) for title, value, slope in figure.curves()}
    of_pairs = {name for name in losses.__all__ if "pairs" in written._eats(getattr(losses, name))}
    of_rankings = {name for name in losses.__all__ if "rankings" in written._eats(getattr(losses, name))}
    assert set(found) == (of_pairs | of_rankings) - set(figure.LEFT_OUT)
    value, slope = found["dpo_loss"]
    np.testing.assert_allclose(value, np.logaddexp(0, -figure.MARGINS), rtol=1e-5)
    np.testing.assert_allclose(slope, -1 / (1 + np.exp(figure.MARGINS)), rtol=1e-4)


def test_the_sheet_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    figure.draw(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
