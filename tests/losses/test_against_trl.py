"""Every loss that TRL has too, against TRL's own code on random tensors: values and gradients.

It needs a Python with trl and torch: this one, or that which the variable PREFJAX_TRL names. Where the two differ by
choice, the docs say how (docs/losses.md), and what is compared here is what they share.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import losses, ops
from prefjax.metrics import Mean

BETA = 0.5
RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(1, 8, (16, 2, 1))
DATA = {
    "logps": -0.2 - np.abs(RNG.normal(0, 1, (16, 2, 9))),
    "ref_logps": -0.2 - np.abs(RNG.normal(0, 1, (16, 2, 9))),
    "rewards": RNG.normal(0, 1, (16, 2)),
    "margin": RNG.normal(0, 1, 16),
    "label": RNG.integers(0, 2, 16),
}
DATA = {name: x.astype(np.float32) for name, x in DATA.items()}
DATA["mask"] = (np.arange(9) >= 2) & (np.arange(9) < 2 + LENGTHS)
DATA["logps"][:, 1] += 0.1  # so that KTO's estimate is above 0


def pairs(name: str, **knobs) -> Callable:
    knobs = {"beta": BETA} | knobs
    return lambda d: getattr(losses, name)(d["logps"], d["ref_logps"], d["mask"], **knobs)[0]


def judged(name: str, d: dict, **knobs) -> Mean:
    """Of the first candidates; the second are the mismatched responses of KTO."""
    first, second = ([d[key][:, side] for key in ("logps", "ref_logps", "mask")] for side in (0, 1))
    arrays = first + second if name == "kto_loss" else first
    return getattr(losses, name)(*arrays, beta=BETA, target=d["label"], **knobs)[0]


def weighed(d: dict) -> Mean:
    """TRL weighs good and bad responses with every loss."""
    each = [judged("apo_zero_unpaired_loss", d, where=d["label"] == kind) for kind in (1, 0)]
    return Mean(1.5 * each[0].total + 0.5 * each[1].total, each[0].weight + each[1].weight)


def alone(loss: Mean, d: dict) -> Mean:
    """A loss less the likelihood of the chosen response, which TRL averages over the tokens of a batch."""
    likelihood = ops.mean_tokens(d["logps"][:, 0], d["mask"][:, 0])
    return Mean(loss.total + jnp.sum(likelihood), loss.weight)


OURS = {
    "sigmoid": pairs("dpo_loss"),
    "hinge": pairs("slic_loss"),
    "ipo": lambda d: losses.ipo_loss(d["logps"], d["ref_logps"], d["mask"], tau=BETA, reduction="mean")[0],
    "exo": pairs("exo_loss", label_smoothing=0.01),
    "nca": pairs("nca_loss"),
    "robust": pairs("robust_dpo_loss", label_smoothing=0.2),
    "bco": pairs("bco_loss"),
    "sppo": pairs("sppo_loss"),
    "aot": pairs("aot_loss", label_smoothing=0.2),
    "aot_unpaired": pairs("aot_loss", paired=False),
    "apo_zero": pairs("apo_zero_loss"),
    "apo_down": pairs("apo_down_loss"),
    "discopop": pairs("discopop_loss"),
    "sft": lambda d: losses.sft_loss(d["logps"][:, 0], d["mask"][:, 0])[0],
    "sigmoid_norm": pairs("dpo_loss", reduction="mean"),
    "forward_kl": pairs("f_dpo_loss", divergence="forward_kl"),
    "js": pairs("f_dpo_loss", divergence="js"),
    "alpha": pairs("f_dpo_loss", divergence="alpha", alpha=0.5),
    "ld_dpo": pairs("ld_dpo_loss", alpha=0.3),
    "wpo": pairs("wpo_loss"),
    "kto": lambda d: judged("kto_loss", d, desirable=1.5, undesirable=0.5),
    "apo_zero_of_one": weighed,
    "cpo": lambda d: losses.cpo_loss(d["logps"], d["mask"], beta=BETA, nll=0.0, label_smoothing=0.1)[0],
    "simpo": lambda d: losses.simpo_loss(d["logps"], d["mask"], beta=BETA, gamma=0.3, label_smoothing=0.1)[0],
    "orpo": lambda d: alone(losses.orpo_loss(d["logps"], d["mask"], lam=BETA)[0], d),
    "reward": lambda d: losses.bradley_terry_loss(d["rewards"], centering=0.01)[0],
    "reward_margin": lambda d: losses.bradley_terry_loss(d["rewards"], margin=d["margin"], centering=0.01)[0],
}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> dict[str, np.ndarray]:
    python = os.environ.get("PREFJAX_TRL")
    if python is None:
        if not all(importlib.util.find_spec(name) for name in ("trl", "torch")):
            pytest.skip("PREFJAX_TRL names no Python with trl and torch, and this one has none")
        python = sys.executable
    folder = tmp_path_factory.mktemp("trl")
    np.savez(folder / "in.npz", **DATA)
    command = [python, str(Path(__file__).with_name("trl_numbers.py")), *(f"{folder}/{x}.npz" for x in ("in", "out"))]
    environment = {name: x for name, x in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "out.npz"))


@pytest.mark.parametrize("name", OURS)
def test_the_value_and_the_gradient_are_trls(name, theirs):
    moved = "rewards" if "reward" in name else "logps"
    value, gradient = jax.value_and_grad(lambda x: OURS[name](DATA | {moved: x}).value)(DATA[moved])
    np.testing.assert_allclose(value, theirs[name], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, theirs[f"{name}/gradient"], rtol=1e-4, atol=1e-6)


def test_every_case_is_compared(theirs):
    assert {name for name in theirs if "/" not in name} == set(OURS)
