"""Writes docs/losses.md from the code, and its figure: `python -m docs.losses`."""

import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from docs import losses_figure
from docs.losses_facts import ALIASES, DEFAULTS, DIFFERENCES, OTHERS, RESTS, TRL
from prefjax import losses

COLUMNS = {"margin": "margins", "target": "targets", "grade": "grades", "ranks": "ranks"}
HEAD = """# Losses

Every loss of `prefjax.losses`, by its signature and docstring: `python -m docs.losses` writes this page, a test compares them.
A call string with its defaults goes into `c.loss`, and so does a sum, `"dpo_loss(beta=0.1) + 0.2 * sft_loss()"`. What a loss
eats, with the rows that hold it (`c.data.rows`) and the algorithm that brings it (`c.algorithm`):

| eats | rows | algorithm |
|---|---|---|
| rewards of pairs, rewards of rankings | `pairs()`, `rankings()` | `reward`: a score for each candidate |
| pairs, rankings | `pairs()`, `rankings()` | `dpo`: log-probabilities of both sides, or of all candidates |
| rewards of pairs, by attribute | `attributes(names=...)` | `reward`: the same losses on a score for each attribute |
| rewards of judged steps | `steps()` | `reward`: a score after the last token of each step |
| judged responses | `unpaired()` | `kto`: log-probabilities of single responses, each with a label |
| mismatched ones | `unpaired()` | `kto`: the same of prompts with the responses to others, which `kto_loss` alone asks for |
| demonstrations | `demos()` | `sft`; beside the losses above, in a sum, the chosen side of pairs, the good ones of judged responses |
| rollouts | `prompts()` | `ppo`, `grpo`, `rloo`, `reinforce`, `reinforce_plus_plus`, `remax`, `nash_md`: samples of the policy, with advantages or returns |
| pairs, demonstrations | `prompts()` | `online_dpo`, `xpo`; `raft`: made of samples of the policy; `spin`, of `demos()`: beside them |

"A reference": log-probabilities of `c.frozen.reference` too. "Whole batches": a statistic spans the rows of a batch. Labels that a
loss may be given stand behind: targets (the probability that the first wins; good or bad), margins, grades, ranks.

![Every loss on pairs and its slope, against the margin](losses.png)

Of a pair of one token each, the chosen one half the margin up and the rejected one half the margin down; beta is 1 unless said.
`rdpo_loss`, `ld_dpo_loss`, `aot_loss`, `beta_dpo_loss` and, but for its small bonus, `xpo_loss` are DPO there, and `wpo_loss` DPO times a weight.
"""  # noqa: E501


def page() -> str:
    """The page, as Markdown."""
    modules: dict[str, list[Callable]] = {}
    for name in losses.__all__:
        modules.setdefault(getattr(losses, name).__module__, []).append(getattr(losses, name))
    sections = (_section(module, found) for module, found in sorted(modules.items()))
    return "".join([HEAD, *sections, ALIASES, RESTS, DIFFERENCES])


def _section(module: str, found: list[Callable]) -> str:
    about = (importlib.import_module(module).__doc__ or "").partition("\n")[0].rstrip(".")
    lines = [
        f"\n## {about}\n",
        "| call string | what it is | equation | eats | paper | defaults | elsewhere |",
        "|---|---|---|---|---|---|---|",
    ]
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
    trl = [f"TRL: {TRL[loss.__name__]}"] if loss.__name__ in TRL else []
    others = [OTHERS[loss.__name__]] if loss.__name__ in OTHERS else []
    cells += [DEFAULTS.get(loss.__name__, ""), "; ".join(trl + others)]
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
    if {"rewards", "mask"} <= set(names):
        kind = "judged steps"
    if kind == "responses":
        sampled = loss.__module__.rpartition(".")[2] in ("policy_gradient", "ppo", "ratios")
        kind = "rollouts" if sampled else "judged responses" if "target" in parameters else "demonstrations"
    parts = [f"rewards of {kind}" if "rewards" in names else kind]
    parts += ["mismatched ones"] if "other_logps" in names else []
    parts += ["a reference"] if "ref_logps" in names else []
    parts += ["whole batches"] if hasattr(loss, "spans_batch") else []
    labels = [label for name, label in COLUMNS.items() if name in parameters]
    return ", ".join(parts) + (f"; {', '.join(labels)}" if labels else "")


def _fits(loss: Callable, names: list[str], shape: tuple[int, ...]) -> bool:
    shape = shape[:-1] if "rewards" in names else shape
    arrays = {name: jnp.ones(shape, bool if "mask" in name else jnp.float32) for name in names}
    try:
        return bool(jax.eval_shape(loss, **arrays))
    except ValueError:
        return False


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page())
    losses_figure.draw(Path(__file__).with_suffix(".png"))
