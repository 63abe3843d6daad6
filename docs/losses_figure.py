"""One sheet of every pairwise loss and its gradient, against the margin: `python -m docs.losses` draws it."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from prefjax import losses

MARGINS = np.linspace(-4, 4, 161, dtype=np.float32)
KNOBS = {  # settings at which a curve has its features in view: rewards are log-ratios
    "ipo_loss": {"tau": 0.5},
    "all_pairs_ipo_loss": {"tau": 0.5},
    "exo_loss": {"label_smoothing": 0.1},
    "discopop_loss": {"tau": 0.5},
    "orpo_loss": {"lam": 1.0},
    "unlikelihood_loss": {"alpha": 1.0},
    "simpo_loss": {"gamma": 1.0},
}
# Of one pair and one length they are DPO, or DPO times a weight.
LEFT_OUT = ("rdpo_loss", "ld_dpo_loss", "beta_dpo_loss", "aot_loss", "wpo_loss", "xpo_loss")


@functools.cache
def curves() -> tuple[tuple[str, np.ndarray, np.ndarray], ...]:
    """The title of each curve, and its loss and gradient `[M]` at `MARGINS`.

    A pair is two responses of one token. The chosen one gains half the margin and the rejected one loses it: in reward,
    or in log-probability against a reference of -5 nats, with beta 1 unless the title says otherwise.
    """
    found = []
    for name in losses.__all__:
        loss, parameters = getattr(losses, name), inspect.signature(getattr(losses, name)).parameters
        arrays = [key for key, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        if name in LEFT_OUT or not _is_of_pairs(loss, arrays):
            continue
        knobs = ({"beta": 1.0} if "beta" in parameters else {}) | KNOBS.get(name, {})
        value = functools.partial(_value, functools.partial(loss, **knobs), arrays)
        value, gradient = jax.jit(jax.vmap(jax.value_and_grad(value)))(MARGINS)
        said = ", ".join(f"{key} {x:g}" for key, x in knobs.items() if (key, x) != ("beta", 1.0))
        title = name.removesuffix("_loss") + (f" ({said})" if said else "")
        found.append((title, np.asarray(value), np.asarray(gradient)))
    return tuple(found)


def draw(path: Path) -> None:
    """Writes the sheet; matplotlib is the extra `plots`."""
    from matplotlib.figure import Figure

    found, columns = curves(), 6
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(2.2 * columns, 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True).ravel()
    for axis, (title, value, gradient) in zip(axes, found, strict=False):
        axis.axhline(0, color="0.8", linewidth=0.8)
        axis.axvline(0, color="0.8", linewidth=0.8)
        axis.plot(MARGINS, value, color="C0", label="loss")
        axis.plot(MARGINS, gradient, color="C1", linestyle="--", label="its slope")
        axis.set_title(title, fontsize=8)
        axis.set_ylim(-4, 8)
        axis.tick_params(labelsize=7)
    for axis in axes[len(found) :]:
        axis.set_axis_off()
    figure.supxlabel("margin: of the rewards, or of the log-probabilities of the two responses, nats", fontsize=9)
    axes[0].legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _value(loss: Callable, arrays: list[str], margin: jax.Array) -> jax.Array:
    sides = jnp.stack([margin, -margin])[None] / 2  # [1, 2]
    given = {"rewards": sides, "logps": sides[..., None] - 5, "ref_logps": jnp.full((1, 2, 1), -5.0)}
    given["mask"] = jnp.ones((1, 2, 1), bool)
    return loss(**{name: given[name] for name in arrays})[0].value


def _is_of_pairs(loss: Callable, arrays: list[str]) -> bool:
    if not {"rewards", "logps"} & set(arrays) or not set(arrays) <= {"rewards", "logps", "ref_logps", "mask"}:
        return False
    try:
        jax.eval_shape(functools.partial(_value, loss, arrays), jnp.float32(0))
    except ValueError:
        return False
    return True
