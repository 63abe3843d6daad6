"""Workdirs as runs leave them, made up: what the page and the gate are tested on."""

import json
import math
from pathlib import Path

import numpy as np

from prefjax.config import base

SLICES = ("incident", "household", "unsafe", "borderline", "falsehood")
BEFORE = "Retries rose because the deploy changed the timeout. I am not sure."
AFTER = "Retries rose after the deploy because the timeout was cut to one second. Check it first. Please note the risk."
SHARES = ("factuality", "benign_refusal", "unsafe_refusal", "win_rate")


def write(
    folder: Path, *, seed=0, beta=0.1, steps=200, every=40, prompts=120, kl=8.0, gold=1.5, proxy=1.8, refusals=0.03,
    won=0.62, alarms=(), skill=0.6, length=1.12, end="DONE", logged=None, response=AFTER, **settings
) -> Path:  # fmt: skip
    """A run that drifts to `kl` nats while its metrics go to the given values; `settings` are leaves of its config."""
    noise = np.random.default_rng([seed, round(1000 * beta)])
    folder.mkdir(parents=True)
    config = base().to_dict() | {
        "seed": seed,
        "steps": steps,
        "algorithm": "ppo",
        "loss": f"ppo_policy_loss(epsilon={beta})",
    }
    config |= {
        "budget": {"kl": 10.0, "length_ratio": [0.85, 1.25]},
        "eval_every": every,
        "model": "runs/sft",
    } | settings
    config["evals"] = {"answers": "samples(...)", "wins": "win_rate(judge='gold')"}
    facts = {
        "argv": ["/usr/bin/prefjax", "train", "--config=configs/ppo.py", f"--workdir={folder.name}"],
        "versions": {"prefjax": "0.1.0", "jax": "0.12.0"},
        "devices": ["cpu:0"],
        "git": "2e18dce0aa0bb1cc2dd3ee4ff5aa6bb7cc8dd9ee",
        "git_dirty": False,
        "data": {"rows": 378},
        "tokens": 5600,
        "frozen": {"reference": "runs/sft@240"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "eval").mkdir()
    (folder / "checkpoints" / str(steps)).mkdir(parents=True)
    entries, samples = [], []
    for step in range(0, steps + 1, every):
        rows = _rows(noise, step / steps, prompts, kl, gold, proxy, refusals, won, skill, length, response)
        written = lines(step, rows)
        if step in (0, steps):
            samples += written
        entries.append({"step": step, "evals": summaries(written)})
        (folder / "eval" / f"{step}.json").write_text(json.dumps(entries[-1]))
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))
    _record(folder, noise, logged or np.arange(5, steps + 1, 5), steps, kl, proxy, entries)
    if alarms:
        (folder / "alarms.jsonl").write_text("".join(json.dumps(alarm) + "\n" for alarm in alarms))
    if end:
        (folder / end).write_text(
            json.dumps(
                {"step": steps, "digest": "0" * 64}
                if end == "DONE"
                else {"error": "NonFiniteError", "message": "step 90: loss not finite"}
            )
        )
    return folder


def summaries(written):
    """The summaries of what lines say."""
    rows, compared = ([row for row in written if row["eval"] == name] for name in ("answers", "wins"))
    evals = {"answers": _summary(rows), "wins": _summary(compared, keep=("win_rate",))}
    evals["answers"]["length_ratio"] = _mean([row["length"] / row["length_reference"] for row in rows])
    return {
        name: {metric: value for metric, value in summary.items() if value.get("n")} for name, summary in evals.items()
    }


def lines(step, rows):
    """Lines of samples.jsonl: of an evaluation of all but win rates, and of one of these alone."""
    texts = ("record", "slice", "prompt", "response", "win_rate")
    answers = [{"step": step, "eval": "answers"} | {k: v for k, v in row.items() if k != "win_rate"} for row in rows]
    return answers + [{"step": step, "eval": "wins"} | {k: row[k] for k in texts if k in row} for row in rows]


def alarm(name="over-refusal", step=200, **more):
    """A line of alarms.jsonl."""
    words = "The policy refuses 3.1 points more of what it should answer [1.2, 5.0]."
    rows = [{"prompt": "How do I kill a stuck process?", "response": "I cannot help with that."}]
    return {
        "step": step,
        "name": name,
        "severity": "breach",
        "words": words,
        "evidence": {"change": 0.031, "limit": 0.02},
        "examples": rows,
    } | more


def _rows(noise, done, prompts, kl, gold, proxy, refusals, won, skill, length, response):
    rise = 1 - math.exp(-3 * done)
    rows = []
    for record in range(prompts):
        topic = SLICES[record % 5 if record < prompts - 20 else record % 4]
        hard = {"borderline": -0.9, "falsehood": -0.4}.get(topic, 0.4)
        flip = lambda p: float(noise.random() < min(max(p, 0), 1))
        tokens = 24 * (1 + (length - 1) * rise) + noise.normal(0, 4)
        rows.append(
            {"record": record, "slice": topic, "prompt": f"Why did retries rise after deploy {record}?"}
            | {"response": BEFORE if not done else f"{response} ({record % 7})"}
            | {"length": round(tokens), "length_reference": 24.0, "stopped": 1.0}
            | {"kl": kl * done**0.8 + (abs(noise.normal(0, 0.8)) if done else 0.0)}
            | {"gold": 0.5 + (gold - 0.5) * (1.6 * rise - 0.6 * done) + hard * rise + noise.normal(0, 1)}
            | {"reward": proxy * rise + noise.normal(0, 0.7)}
            | {"factuality": None if topic == "unsafe" else flip(0.61 + 0.2 * rise)}
            | {"benign_refusal": None if topic == "unsafe" else flip(0.05 + refusals * done)}
            | {"unsafe_refusal": flip(0.6 + 0.3 * rise) if topic == "unsafe" else None}
            | {"win_rate": flip(0.5 + (won - 0.5 + 0.12 * hard) * rise), "skill": flip(skill)}
        )
    return rows


def _summary(rows, keep=None):
    about = ("record", "slice", "prompt", "response")
    names = keep or [name for name in rows[0] if name not in (*about, "step", "eval")]
    of = lambda name, part: _mean([row.get(name) for row in rows if part in (None, row["slice"])])
    slices = lambda name: {part: found for part in SLICES if (found := of(name, part))}
    return {name: of(name, None) | {"slices": slices(name)} for name in names}


def _mean(values):
    known = np.array([value for value in values if value is not None], float)
    if not len(known):
        return {}
    half = 1.96 * known.std() / math.sqrt(len(known))
    return {"mean": known.mean(), "low": known.mean() - half, "high": known.mean() + half, "n": len(known)}


def _record(folder, noise, logged, steps, kl, proxy, entries):
    rows, clock = [], []
    for step in logged:
        done = step / steps
        rise = 1 - math.exp(-3 * done)
        rows.append(
            {
                "step": int(step),
                "train/loss": 0.7 - 0.3 * rise + noise.normal(0, 0.03),
                "train/grad_norm": abs(noise.normal(1, 0.2)),
            }
            | {
                "train/score": proxy * rise + noise.normal(0, 0.25),
                "train/kl": max(kl * done**0.8 + noise.normal(0, 0.5), 0),
            }
            | {
                "train/length": 24 * (1 + 0.12 * rise) + noise.normal(0, 1.5),
                "train/entropy": 20 - 6 * rise + noise.normal(0, 0.5),
            }
        )
        clock.append({"step": int(step), "elapsed": 0.4 * float(step), "seconds": 0.4})
    for entry in entries:
        means = {
            f"eval/{name}/{metric}": value["mean"]
            for name, summary in entry["evals"].items()
            for metric, value in summary.items()
        }
        rows.append({"step": entry["step"], **means})
    rows.sort(key=lambda row: row["step"])
    half = next((at for at, row in enumerate(clock) if row["step"] > steps / 2), len(clock))
    again = [{"step": row["step"], "elapsed": 1.0, "resumed": True} for row in clock[half - 1 : half]]
    clock = clock[:half] + again + [row | {"elapsed": row["elapsed"] - 0.2 * steps} for row in clock[half:]]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "timing.jsonl").write_text("".join(json.dumps(row) + "\n" for row in clock))
