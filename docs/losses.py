"""Writes docs/losses.md from the code: `python -m docs.losses`."""

import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from prefjax import losses

COLUMNS = {"margin": "margins", "target": "targets", "grade": "grades", "ranks": "ranks"}
HEAD = """# Losses

Every loss of `prefjax.losses`, by its signature and docstring: `python -m docs.losses` writes this page, a test compares them.
A call string with its defaults goes into `c.loss`, and so does a sum, `"dpo_loss(beta=0.1) + 0.2 * sft_loss()"`. A loss eats a
reward for each candidate, or log-probabilities of the tokens of pairs, rankings or single responses, and, where it
says so, a reference's; the labels that it may be given stand behind.
"""  # noqa: E501


def page() -> str:
    """The page, as Markdown."""
    modules: dict[str, list[Callable]] = {}
    for name in losses.__all__:
        modules.setdefault(getattr(losses, name).__module__, []).append(getattr(losses, name))
    return HEAD + "".join(_section(module, found) for module, found in sorted(modules.items()))


def _section(module: str, found: list[Callable]) -> str:
    about = (importlib.import_module(module).__doc__ or "").partition("\n")[0].rstrip(".")
    lines = [f"\n## {about}\n", "| call string | what it is | equation | eats | paper |", "|---|---|---|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(_cells(loss)) + " |" for loss in found]) + "\n"


def _cells(loss: Callable) -> list[str]:
    text = inspect.cleandoc(loss.__doc__ or "").partition("\nArgs:")[0]
    summary, *_ = text.split("\n\n")
    what, _, inline = " ".join(summary.split()).partition(": L = ")
    blocks = [block for block in text.split("\n\n") if block.startswith("    ")]
    equation = "; ".join(" ".join(line.split()) for block in blocks for line in block.splitlines())
    if inline and not equation:
        equation = "L = " + inline.rstrip(".")
    cited = "; ".join(f"[{who}]({where})" for who, where in _papers(" ".join(text.split())))
    cells = [f"`{_call(loss)}`", what.rstrip(".:"), f"`{equation}`" if equation else "", _eats(loss), cited]
    return [cell.replace("|", r"\|") for cell in cells]


def _papers(text: str) -> list[tuple[str, str]]:
    """The addresses in a text, each with the authors and the year said last before it, or with its own last part."""
    found = []
    before = 0
    for address in re.finditer(r"https?://[^)\s]+[^),.\s]", text):
        said = re.findall(r"[A-Z][\w']+(?: et al\.| & [A-Z]\w+)? (?:19|20)\d\d", text[before : address.start()])
        found.append((said[-1] if said else address[0].rpartition("/")[2], address[0]))
        before = address.end()
    return found


def _call(loss: Callable) -> str:
    knobs = [
        p for p in inspect.signature(loss).parameters.values() if p.kind is p.KEYWORD_ONLY and p.default is not None
    ]
    return f"{loss.__name__}({', '.join(f'{p.name}={p.default!r}' for p in knobs)})"


def _eats(loss: Callable) -> str:
    parameters = inspect.signature(loss).parameters
    names = [name for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    shapes = {"rankings": (4, 3, 5), "pairs": (4, 2, 5), "responses": (4, 5)}
    kind = next(kind for kind, shape in shapes.items() if _fits(loss, names, shape))
    whole = f"rewards of {kind}" if "rewards" in names else kind
    reference = ", a reference" if "ref_logps" in names else ""
    labels = [label for name, label in COLUMNS.items() if name in parameters]
    spans = ", whole batches" if hasattr(loss, "spans_batch") else ""
    return whole + reference + spans + (f"; {', '.join(labels)}" if labels else "")


def _fits(loss: Callable, names: list[str], shape: tuple[int, ...]) -> bool:
    shape = shape[:-1] if "rewards" in names else shape
    arrays = {name: jnp.ones(shape, bool if "mask" in name else jnp.float32) for name in names}
    try:
        return bool(jax.eval_shape(loss, **arrays))
    except ValueError:
        return False


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page())
