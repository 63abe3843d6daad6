"""The main job: six ways from preferences to a better policy on the desk world, side by side on held-out prompts.

python -m experiments.desk [--workdir=runs/demo] [--seeds 0 1 2] [--quick]

Every way starts from the same SFT model and the same reward model. `--quick` takes DPO alone.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prefjax import host

host.keep_memory()

import jax  # noqa: E402  (after the memory is kept: jax starts threads)
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from rich.text import Text  # noqa: E402

from configs import dpo, ppo, reward, sft, sft_chosen  # noqa: E402
from prefjax import checkpoint, report, rewards  # noqa: E402
from prefjax.cli import main as prefjax  # noqa: E402
from prefjax.data import load  # noqa: E402
from prefjax.evals.diversity import distinct  # noqa: E402
from prefjax.evals.stats import by_prompt, differences, interval  # noqa: E402
from prefjax.files import write_json  # noqa: E402
from prefjax.report import runs  # noqa: E402
from prefjax.report.frontier import BestOfN  # noqa: E402
from prefjax.report.verdict import verdict  # noqa: E402
from prefjax.sampling.best_of_n import kl_bound  # noqa: E402
from prefjax.sampling.candidates import best_of_n  # noqa: E402
from prefjax.train import train  # noqa: E402
from prefjax.worlds import desk  # noqa: E402

PROMPTS = "prefjax.worlds.desk:prompts(split='test')"
KNOBS = "n=4, limit=200, max_new=48, batch_size=108"
ANSWERS = f"samples(source={PROMPTS!r}, judge='prefjax.worlds.desk:judge', {KNOBS})"
GOLD = "gold(function='prefjax.worlds.desk:judge', key='gold')"
WINS = f"win_rate(source={PROMPTS!r}, judge={GOLD!r}, {KNOBS})"  # over SFT, its answers
N = 16  # of best-of-n
MEASURES = {  # of an answer: what a reader calls it, and which way is better
    "gold": ("gold utility (the truth, never trained on)", "up"),
    "reward": ("reward model score (the proxy)", "up"),
    "factuality": ("states the right fact", "up"),
    "unsafe_refusal": ("refuses what it should refuse", "up"),
    "benign_refusal": ("refuses what it should answer", "down"),
    "hedges": ("hedges an answer", ""),
    "caveats": ("caveats an answer", ""),
    "length": ("length, tokens", ""),
    "well_formed": ("well-formed", ""),
    "kl": ("KL to the SFT model, nats an answer", ""),
}
WAYS = {  # what a reader calls them
    "sft": "SFT",
    "chosen": "more SFT",
    "best": f"best of {N}",
    "expert": "rejection",
    "dpo": "DPO",
    "ppo": "PPO",
    "pushed": "PPO, pushed",
}
TRAINED = ("chosen", "expert", "dpo", "ppo", "pushed")  # ways that leave a workdir
SHOWN = ("incident", "household", "unsafe", "borderline", "falsehood", "household")  # slices of the answers shown
Rows = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.desk", description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path("runs/demo"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--quick", action="store_true", help="SFT, the reward model and DPO alone")
    options = parser.parse_args()
    console = Console()
    figures, points = {}, []
    for seed in options.seeds:
        found, seconds = pipeline(options.workdir / f"seed{seed}", str(seed), console, options.quick)
        figures[seed] = {way: compare(found["sft"], rows, seconds[way]) for way, rows in found.items()}
        console.print(changes(figures[seed]["dpo"], seed), side_by_side(found["sft"], found["dpo"]))
        if not options.quick:
            console.print(table(figures[seed], seed))
            kl, proxy, gold = (figures[seed]["best"][name]["after"] for name in ("kl", "reward", "gold"))
            points.append((kl, proxy, gold, N))  # beside the runs
    write_json(options.workdir / "demo.json", {"seeds": figures})
    console.print(f"The figures are in {options.workdir / 'demo.json'}, the runs beside it.", soft_wrap=True)
    tell(options.workdir, [way for way in found if way in TRAINED], options.seeds, points, console)


def tell(workdir: Path, ways: list[str], seeds: list[int], points: list[BestOfN], console: Console) -> None:
    """Writes the page of all runs, and says in a sentence each what became of them."""
    groups = report.read([workdir / f"seed{seed}" / way for way in ways for seed in seeds])
    written = report.save(groups, workdir, points)
    console.print()
    for group in groups:
        name = f"{WAYS[group.runs[0].path.name]}: " if len(groups) > 1 else ""
        console.print(Text(name + verdict(group).sentence), soft_wrap=True)
    console.print(f"The page: {written[0]}", soft_wrap=True)


def pipeline(workdir: Path, seed: str, console: Console, quick: bool) -> tuple[dict[str, Rows], dict[str, float]]:
    """Trains all models, each by its own config; the answers of each way to the test prompts, and its seconds."""
    base, proxy = str(workdir / "sft"), str(workdir / "reward")
    found: dict[str, Rows] = {}
    seconds: dict[str, float] = {}

    def timed(way: str, words: str, work: Callable[[], Rows | None]) -> None:
        console.rule(f"seed {seed}: {words}")
        start = time.perf_counter()
        rows = work()
        seconds[way] = time.perf_counter() - start
        if rows is not None:
            found[way] = rows

    def tuned(way: str, config: Any, **frozen: str) -> Rows:
        """The answers after training as `config` says, from the SFT model and measured against it."""
        config.model = base
        config.frozen = {"reference": base, "reward": proxy} | frozen  # most ways only measure with them
        config.evals = {"answers": ANSWERS, "wins": WINS}
        train(config, workdir / way)
        return answers(workdir / way)

    def chosen_by_reward() -> Rows:
        data = workdir / "best.jsonl"
        words = [f"--model={base}", f"--reward={proxy}", "--source=prefjax.worlds.desk:prompts(split='train')"]
        if not data.exists():
            prefjax(["best-of-n", *words, "--n=8", "--max_new=48", "--finished", f"--seed={seed}", f"--out={data}"])
        config = sft_chosen.get_config(seed)
        config.steps, config.data.train = 60, f"demos(path={str(data)!r})"
        return tuned("expert", config)

    def pushed() -> Rows:
        config = ppo.get_config(seed)
        config.rl.kl_coef = 0.05
        config.trained.value = proxy
        return tuned("pushed", config)

    def within_bounds() -> Rows:
        config = ppo.get_config(seed)
        config.trained.value = proxy
        return tuned("ppo", config)

    timed("sft", "supervised fine-tuning on plain answers", lambda: train(sft.get_config(seed), base) and None)
    config = reward.get_config(seed)
    config.model = base
    timed("reward", "a reward model on the raters' pairs", lambda: train(config, proxy) and None)
    timed("dpo", "DPO on the raters' pairs", lambda: tuned("dpo", dpo.get_config(seed)))
    found = {"sft": answers(workdir / "dpo", first=True)} | found
    if not quick:
        timed("chosen", "more SFT, on the chosen side", lambda: tuned("chosen", sft_chosen.get_config(seed)))
        timed("best", f"best of {N} by the reward model", lambda: best(base, proxy, int(seed)))
        timed("expert", "rejection sampling: SFT on the best of 8", chosen_by_reward)
        timed("ppo", "PPO against the reward model", within_bounds)
        timed("pushed", "PPO pushed too far: a quarter of the KL penalty", pushed)
    return {way: found[way] for way in WAYS if way in found}, seconds


def answers(workdir: Path, first: bool = False) -> Rows:
    """The answers of the last evaluation of a run, or of its first."""
    by_step = runs.read(workdir).samples["answers"]
    return by_step[(min if first else max)(by_step)]


def best(base: str, proxy: str, seed: int) -> Rows:
    """The best of N answers of the SFT model to each test prompt, by the reward model."""
    records, tokenizer = load.records(PROMPTS), load.tokenizer(base)
    (policy, params), (net, frozen) = checkpoint.load(base), checkpoint.load(proxy)
    score = rewards.make("model()", {"reward": net}, tokenizer, lambda: records)
    scorer = lambda sequences, ids: score({"reward": frozen}, sequences, ids)[0]
    knobs: dict[str, Any] = {"n": N, "max_new": 48, "batch_size": 432}
    chosen = best_of_n(policy, params, tokenizer, records, jax.random.key(seed), scorer, **knobs)
    verdicts = desk.judge([records[answer.record] for answer, _ in chosen], [answer.text for answer, _ in chosen])
    return [
        {"record": answer.record, "slice": records[answer.record]["slice"], "prompt": records[answer.record]["prompt"]}
        | {"response": answer.text, "length": answer.length, "stopped": float(answer.stopped)}
        | {"reward": float(all_.scores["score"].max()), "kl": kl_bound(N)}  # at most that far from one sample
        | {name: values[at] for name, values in verdicts.items()}
        for at, (answer, all_) in enumerate(chosen)
    ]


def compare(before: Rows, after: Rows, seconds: float) -> dict[str, Any]:
    """Each measure, and the interval of its change from the SFT model, paired by prompt."""
    one_each = {row["record"]: row["response"].split() for row in after}.values()
    figures: dict[str, Any] = {"seconds": seconds, "distinct_2": distinct([*one_each], 2)}
    for name in MEASURES:
        olds, news = by_prompt(before, name), by_prompt(after, name)
        moved = differences(news, olds)
        figures[name] = {
            "before": sum(olds.values()) / len(olds),
            "after": sum(news.values()) / len(news),
            "change": interval([*moved.values()], [*moved])._asdict(),
            "prompts": len(moved),
        }
    return figures


def table(figures: Mapping[str, Mapping[str, Any]], seed: int) -> Table:
    """All ways side by side; a change from SFT whose interval excludes 0 is marked."""
    caption = "* changed from SFT: 95 % interval paired by prompt. KL of best-of-n is its upper bound."
    grid = Table(title=f"Held-out prompts, seed {seed}", caption=caption)
    for heading, side in (("", "left"), *((WAYS[way], "right") for way in figures)):
        grid.add_column(heading, justify=side, no_wrap=True)
    for name in MEASURES:
        cells = []
        for way in figures.values():
            low, high = way[name]["change"]["low"], way[name]["change"]["high"]
            cells.append(f"{way[name]['after']:.2f}{'*' if low > 0 or high < 0 else ' '}")
        grid.add_row(name, *cells)
    grid.add_row("distinct-2", *(f"{way['distinct_2']:.2f} " for way in figures.values()))
    grid.add_row("seconds", *(f"{way['seconds']:.0f} " for way in figures.values()))
    return grid


def changes(figures: Mapping[str, Any], seed: int) -> Table:
    """What DPO changed, as a person reads it."""
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


def side_by_side(before: Rows, after: Rows) -> Table:
    """Six prompts with the answers before and after: the first of each slice, not chosen by their quality."""
    olds, news = ({row["record"]: row for row in reversed(rows)} for rows in (before, after))  # the first
    left = sorted(olds)
    grid = Table(title="Six answers", show_lines=True)
    for heading in ("prompt", "SFT", "DPO"):
        grid.add_column(heading)
    for topic in SHOWN:
        record = next(record for record in left if olds[record]["slice"] == topic)
        left.remove(record)
        old, new = olds[record], news[record]
        grid.add_row(*(Text(text) for text in (old["prompt"], old["response"], new["response"])))
    return grid


if __name__ == "__main__":
    main()
