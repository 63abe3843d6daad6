"""The main job: SFT, a reward model and DPO on the desk world, and what came of it on held-out prompts.

python -m experiments.desk [--workdir=runs/demo] [--seeds 0 1 2]
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefjax import host

host.keep_memory()

from rich.console import Console  # noqa: E402  (after the memory is kept: jax starts threads)
from rich.table import Table  # noqa: E402
from rich.text import Text  # noqa: E402

from configs import dpo, reward, sft  # noqa: E402
from prefjax.evals.stats import interval  # noqa: E402
from prefjax.log import write_json  # noqa: E402
from prefjax.train import train  # noqa: E402

TEST = (
    "samples(source=\"prefjax.worlds.desk:prompts(split='test')\", "
    "judge='prefjax.worlds.desk:judge', n=4, limit=200, max_new=48, batch_size=108)"
)
MEASURES = {  # of an answer: what a reader calls it, and which way is better
    "gold": ("gold utility (the truth, never trained on)", "up"),
    "reward": ("reward model score (the proxy)", "up"),
    "fact": ("states the right fact", "up"),
    "refuses_unsafe": ("refuses what it should refuse", "up"),
    "refuses_benign": ("refuses what it should answer", "down"),
    "caveats": ("caveats an answer", ""),
    "length": ("length, tokens", ""),
    "well_formed": ("well-formed", ""),
    "kl": ("KL to the SFT model, nats an answer", ""),
}
SHOWN = ("incident", "household", "unsafe", "borderline", "falsehood", "household")  # slices of the answers shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.desk", description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path("runs/demo"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    console = Console()
    figures = {}
    for seed in options.seeds:
        rows = pipeline(options.workdir / f"seed{seed}", str(seed), console)
        figures[seed] = compare(rows)
        console.print(table(figures[seed], seed), side_by_side(rows))
    write_json(options.workdir / "demo.json", {"seeds": figures})
    console.print(f"The figures are in {options.workdir / 'demo.json'}, the runs beside it.", soft_wrap=True)


def pipeline(workdir: Path, seed: str, console: Console) -> list[dict[str, Any]]:
    """Trains the three models, each by its own config; returns the sampled answers before and after DPO."""
    console.rule(f"seed {seed}: 1 of 3, supervised fine-tuning on plain answers")
    train(sft.get_config(seed), workdir / "sft")

    console.rule(f"seed {seed}: 2 of 3, a reward model on the raters' pairs")
    config = reward.get_config(seed)
    config.model = str(workdir / "sft")
    train(config, workdir / "reward")

    console.rule(f"seed {seed}: 3 of 3, DPO on the raters' pairs")
    config = dpo.get_config(seed)
    config.model = str(workdir / "sft")
    config.frozen.reward = str(workdir / "reward")  # to measure with: DPO does not look at it
    config.evals.answers = TEST
    train(config, workdir / "dpo")
    return [json.loads(line) for line in (workdir / "dpo" / "samples.jsonl").read_text().splitlines()]


def compare(rows: list[dict[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Each measure before and after, and the interval of its change, paired by prompt."""
    last = max(row["step"] for row in rows)
    before, after = ([row for row in rows if row["step"] == step] for step in (0, last))
    figures = {}
    for name in MEASURES:
        pairs = [(b[name], a[name], b["record"]) for b, a in zip(before, after, strict=True) if b[name] is not None]
        olds, news, prompts = zip(*pairs, strict=True)
        change = interval([new - old for old, new in zip(olds, news, strict=True)], prompts)
        figures[name] = {
            "before": sum(olds) / len(olds),
            "after": sum(news) / len(news),
            "change": change._asdict(),
            "prompts": len(set(prompts)),
        }
    return figures


def table(figures: Mapping[str, Mapping[str, Any]], seed: int) -> Table:
    """The figures as a person reads them."""
    grid = Table(
        title=f"Held-out prompts, before and after DPO (seed {seed})", caption="95 % intervals, paired by prompt"
    )
    for heading, side in (("", "left"), ("SFT", "right"), ("DPO", "right"), ("change", "right"), ("", "left")):
        grid.add_column(heading, justify=side)
    for name, (words, wanted) in MEASURES.items():
        f = figures[name]
        low, high = f["change"]["low"], f["change"]["high"]
        verdict = "no clear change" if low <= 0 <= high else "up" if low > 0 else "down"
        mark = "" if not wanted or verdict == "no clear change" else (" (better)" if verdict == wanted else " (worse)")
        change = f"{f['change']['mean']:+.2f} [{low:+.2f}, {high:+.2f}]"
        grid.add_row(words, f"{f['before']:.2f}", f"{f['after']:.2f}", change, verdict + mark)
    return grid


def side_by_side(rows: list[dict[str, Any]]) -> Table:
    """Six prompts with the answers before and after: the first of each slice, not chosen by their quality."""
    last = max(row["step"] for row in rows)
    answers: dict[int, dict[int, dict[str, Any]]] = {}
    for row in rows:
        answers.setdefault(row["record"], {}).setdefault(row["step"], row)
    left = list(answers.values())
    grid = Table(title="Six answers", show_lines=True)
    for heading in ("prompt", "SFT", "DPO"):
        grid.add_column(heading)
    for topic in SHOWN:
        chosen = next(pair for pair in left if pair[0]["slice"] == topic)
        left.remove(chosen)
        grid.add_row(*(Text(text) for text in (chosen[0]["prompt"], chosen[0]["response"], chosen[last]["response"])))
    return grid


if __name__ == "__main__":
    main()
