"""The stages of the study, each left alone once it is done: what they make lies in the folder of the study."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.dpo_frontier import data, enumerable, gold, recipes
from experiments.dpo_frontier.recipes import Profile
from prefjax import checkpoint, files, sweep
from prefjax.cli import main as prefjax
from prefjax.commands import scorer
from prefjax.data import load
from prefjax.data.tokenizer import Tokenizer
from prefjax.errors import Interrupted, PrefjaxError
from prefjax.sampling.candidates import group, scored
from prefjax.train import train


def stages(p: Profile, folder: Path, limit: float | None = None) -> dict[str, Callable[[], None]]:
    """Name -> what does it, in order; a stage that is cut goes on in the next call.

    Args:
      p: the sizes.
      folder: of the study.
      limit: bytes of a device that a program may take, as `sweep.train` takes it.
    """
    found = {
        "gold reward": lambda: _gold(folder),
        "passages": lambda: _passages(p, folder),
        "language model": lambda: _train(recipes.language_model(p, folder), folder / "sft"),
        "pairs": lambda: _pairs(p, folder),
        "reward model": lambda: _reward(p, folder),
    }
    for method in recipes.METHODS:
        found[method] = lambda method=method: _sweep(p, folder, method, limit)
    for seed in range(p.seeds):
        found[f"best of n, seed {seed}"] = lambda seed=seed: _best_of_n(p, folder, seed)
    return found | {"enumerable world": lambda: _enumerable(p, folder)}


def timed(folder: Path, name: str, stage: Callable[[], None]) -> None:
    """Runs a stage and adds its seconds, also those of a part of it, to seconds.jsonl."""
    start = time.monotonic()
    try:
        stage()
    finally:
        row = {"stage": name, "seconds": round(time.monotonic() - start, 1), "device": jax.devices()[0].device_kind}
        if row["seconds"] >= 0.5:  # not those of finding that it is done
            with (folder / "seconds.jsonl").open("a") as lines:
                lines.write(json.dumps(row) + "\n")


def seconds(folder: Path) -> dict[str, float]:
    """What each stage has taken in all."""
    total: dict[str, float] = {}
    for line in (folder / "seconds.jsonl").read_text().splitlines():
        row = json.loads(line)
        total[row["stage"]] = total.get(row["stage"], 0.0) + row["seconds"]
    return total


def facts(folder: Path) -> dict[str, float]:
    """What was measured once: of the gold reward, the language model and the reward model, as far as they are there."""
    found = {}
    if (folder / "gold.json").exists():
        found["gold reward: accuracy on the test reviews"] = json.loads((folder / "gold.json").read_text())["accuracy"]
    for name, workdir, metric in (
        ("language model: held-out loss, nats a token", "sft", "loss"),
        ("reward model: accuracy on held-out pairs", "reward", "rewards/accuracy"),
    ):
        path, key = folder / workdir / "metrics.jsonl", f"eval/held_out/{metric}"
        rows = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
        measured = [row[key] for row in rows if key in row]
        found |= {name: measured[-1]} if measured else {}
    return found


def _gold(folder: Path) -> None:
    told = folder / "gold.json"
    if not told.exists():
        files.write_json(told, {"accuracy": gold.fit(folder / "gold.npz")})


def _passages(p: Profile, folder: Path) -> None:
    """What is learnt and asked, as JSON lines, and the tokenizer of it."""
    if (folder / "tokenizer").exists():
        return
    learnt = list(data.texts("unsup", p.reviews, p.chars))
    data.write_tokenizer(folder / "tokenizer.part", (row["response"] for row in learnt), p.vocab)
    tokenizer, room = Tokenizer.load(folder / "tokenizer.part"), p.max_length - p.max_new
    fits = lambda row: len(tokenizer.encode_prompt(row["prompt"])) <= room
    for name, rows in {
        "texts_train": learnt,
        "texts_test": data.texts("test", p.held_out, p.chars),
        "beginnings_train": filter(fits, data.beginnings("train", p.prompts, p.chars)),
        "beginnings_test": filter(fits, data.beginnings("test", p.held_out, p.chars)),
    }.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "tokenizer.part").rename(folder / "tokenizer")  # last: it says that all is there


def _train(config: Any, workdir: Path) -> None:
    if not (workdir / "DONE").exists():
        train(config, workdir)


def _pairs(p: Profile, folder: Path) -> None:
    """Four completions of each beginning, ranked by the gold reward."""
    out = folder / "pairs.jsonl"
    if not out.exists():
        source, label = recipes.prompts(folder), recipes.gold_reward(folder)
        flags = f"--source={source}", f"--label={label}", f"--out={out}", "--n=4", "--ranking"
        _prefjax("pairs", p, folder, *flags)


def _reward(p: Profile, folder: Path) -> None:
    """Trained on the pairs; its scores of the reference's completions have mean 0 and standard deviation 1."""
    workdir = folder / "reward"
    if not (workdir / "DONE").exists():
        tokenizer = Tokenizer.load(folder / "tokenizer")
        _, counts = load.load(recipes.pairs(folder), recipes.ROWS, tokenizer, p.max_length)
        train(recipes.reward(p, folder, counts["rows"]), workdir)
    if not (workdir / load.MODEL_FOLDER / checkpoint.MOMENTS).exists():
        _prefjax("normalize", p, folder, f"--reward={workdir}", f"--source={recipes.prompts(folder)}")


def _sweep(p: Profile, folder: Path, method: str, limit: float | None) -> None:
    sweep.train(recipes.runs(p, folder)[method], folder / method, limit=limit, say=print)


def _best_of_n(p: Profile, folder: Path, seed: int) -> None:
    """Scores, gold rewards and lengths `[P, N]` of completions of the held-out beginnings."""
    out = folder / f"best_of_{seed}.npz"
    if out.exists():
        return
    records = load.records(recipes.prompts(folder, "test"))
    tokenizer, read = load.tokenizer(str(folder / "sft")), checkpoint.load
    model, params = read(str(folder / "sft"))
    calls = {"score": str(folder / "reward"), "gold": recipes.gold_reward(folder)}
    scorers = {name: scorer(call, name, {}, read, tokenizer, records) for name, call in calls.items()}
    knobs: dict[str, Any] = {"n": p.n, "max_new": p.max_new, "batch_size": 256}
    batches = scored(model, params, tokenizer, records, jax.random.key(seed), scorers, **knobs)
    found = group(batches, p.n)
    lengths = np.array([[answer.length for answer in c.answers] for c in found], float)
    scores = {name: np.stack([c.scores[name] for c in found]) for name in scorers}
    with out.with_suffix(".part").open("wb") as part:
        np.savez(part, proxy=scores["score"], gold=scores["gold"], length=lengths)
    out.with_suffix(".part").replace(out)


def _enumerable(p: Profile, folder: Path) -> None:
    out = folder / "enumerable.json"
    if not out.exists():
        sizes = {"steps": 2, "pairs": 400, "samples": 256} if p.steps < 10 else {}
        files.write_json(out, [stand._asdict() for stand in enumerable.stands(**sizes)])


def _prefjax(command: str, p: Profile, folder: Path, *flags: str) -> None:
    """A command of the library, on completions of the language model."""
    common = [f"--model={folder / 'sft'}", f"--max_new={p.max_new}", "--batch_size=256"]
    code = prefjax([command, *common, *flags])
    if code > 128:
        raise Interrupted(code - 128)
    if code:
        raise PrefjaxError(f"prefjax {command} failed: see above")
