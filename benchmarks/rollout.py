"""New tokens a second of `prefjax.sampling.generate` and of `generate` of transformers, in alternating processes.

    python benchmarks/rollout.py --peers DIR --trl-python PYTHON --out benchmarks/results/rollout.jsonl

DIR holds the peer scripts, of which the model and the prompts are; `--trl-python` has torch and transformers. Prompts
have 32 tokens and responses 64, at temperature 1, but for two kinds: "ragged prompts" have 8 to 32, which transformers
pads on the left, and "ragged responses" stop at a token whose probability is 1 in 60 or so by the weights: 35 to 40 in
the mean, at most 64. Counted are the tokens up to it. A run that other processes disturbed is repeated.
"""

import argparse
import contextlib
import functools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import quiet

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--peers", required=True, type=Path)
parser.add_argument("--trl-python")
parser.add_argument("--python", default=sys.executable)
parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64])
parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"])
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--repeats", type=int, default=7)
parser.add_argument("--out", type=Path)
parser.add_argument("--system", choices=["prefjax", "transformers"], help="measure this one here, and nothing else")
options = parser.parse_args()

KINDS = ("equal", "ragged prompts", "ragged responses")
NEW, PROMPT, SHORTEST, EOS = 64, 32, 8, 2


def main() -> None:
    lines = []
    for dtype in options.dtypes:
        runs: dict[str, list[dict]] = {"prefjax": [], "transformers": []}
        for number in range(options.rounds):
            for system in runs if number % 2 == 0 else reversed(runs):
                runs[system].append(quiet.measured(functools.partial(measure, system, dtype)))
        for case in runs["prefjax"][0]["cases"]:
            cases = {system: [run["cases"][case] for run in found] for system, found in runs.items()}
            speed = {system: round(statistics.median(one[0] for one in found)) for system, found in cases.items()}
            length = {system: round(statistics.mean(one[1] for one in found), 1) for system, found in cases.items()}
            row = {"dtype": dtype, "case": case, "ratio": round(speed["prefjax"] / speed["transformers"], 2)}
            row |= {"new_tokens_per_s": speed, "mean_length": length}
            lines.append(json.dumps(row))
            print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


def measure(system: str, dtype: str) -> dict[str, Any]:
    python = options.python if system == "prefjax" else options.trl_python
    batches = [str(batch) for batch in options.batches]
    arguments = ["--peers", str(options.peers), "--system", system, "--dtypes", dtype, "--batches", *batches]
    done = subprocess.run(
        [python, __file__, *arguments, "--repeats", str(options.repeats)], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{system}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def here() -> None:
    """Of each case of one system: median new tokens a second after the first call, and the mean length, as JSON."""
    sys.path.insert(0, str(options.peers))
    import common
    import numpy as np

    common.quiet_env()
    sizes = common.MODELS["S"]
    generate = {"prefjax": with_prefjax, "transformers": with_transformers}[options.system](sizes, options.dtypes[0])
    found, meter = {}, common.Meter()
    meter.mark()
    for batch in options.batches:
        for kind in KINDS:
            tokens = common.make_prompts("S", batch, prompt_len=PROMPT)
            lengths = np.random.default_rng(1).integers(SHORTEST, PROMPT + 1, batch)
            lengths[0] = PROMPT
            kept = lengths[:, None] if kind == "ragged prompts" else PROMPT
            valid = np.broadcast_to(np.arange(PROMPT) < kept, tokens.shape)
            stop = EOS if kind == "ragged responses" else None
            speeds, written = [], []
            for number in range(options.repeats + 1):
                clock = time.perf_counter()
                count = generate(tokens, valid, number, stop)
                speeds.append(count / (time.perf_counter() - clock))
                written.append(count / batch)
            found[f"{batch} x {kind}"] = statistics.median(speeds[1:]), statistics.mean(written[1:])
            meter.mark()
    print(json.dumps({"cases": found, "others": meter.dict()["other_cpu_frac"]}))


def with_prefjax(sizes: dict[str, int], dtype: str) -> Callable[..., int]:
    from prefjax import host

    host.keep_memory()

    import jax
    import numpy as np

    from prefjax import models
    from prefjax.sampling import generate

    shape = {"vocab": sizes["vocab"], "width": sizes["d"], "layers": sizes["layers"], "heads": sizes["heads"]}
    model = models.llama(**shape, mlp=sizes["ff"], positions=1024, tied=False)
    params = models.init(model, jax.random.key(0))
    embed, head = (params["params"][name]["embedding"] for name in ("embed", "lm_head"))
    likely = {"embed": {"embedding": embed + 1.0}, "lm_head": {"embedding": head.at[EOS].add(0.019)}}
    stopping = {"params": params["params"] | likely}
    model = models.computing(model, {"fp32": "float32", "bf16": "bfloat16"}[dtype])

    def run(tokens, valid, number, stop):
        tree, end = (params, -1) if stop is None else (stopping, stop)
        knobs = {"max_new": NEW, "stop": np.int32(end)}
        rows, _ = generate(model, tree, np.int32(tokens), valid, jax.random.key(number), **knobs)
        return int(rows.response.sum())

    return run


def with_transformers(sizes: dict[str, int], dtype: str) -> Callable[..., int]:
    import numpy as np
    import torch
    import torch_common
    from transformers import GenerationConfig

    plain, stopping = torch_common.lm("S").eval(), torch_common.lm("S").eval()
    with torch.no_grad():
        stopping.model.embed_tokens.weight += 1.0
        stopping.lm_head.weight[EOS] += 0.019
    knobs: dict[str, Any] = {"max_new_tokens": NEW, "do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    half = torch.autocast("cpu", dtype=torch.bfloat16) if dtype == "bf16" else contextlib.nullcontext()

    def run(tokens, valid, number, stop):
        model = plain if stop is None else stopping
        model.generation_config.eos_token_id = stop
        config = GenerationConfig(**knobs, pad_token_id=0, eos_token_id=stop)
        valid = valid[:, ::-1]
        padded = torch.tensor(np.where(valid, tokens, 0))
        with torch.no_grad(), half:
            rows = model.generate(padded, attention_mask=torch.tensor(valid.astype(np.int64)), generation_config=config)
        response = rows[:, PROMPT:].numpy()
        if stop is None:
            assert response.shape == (len(tokens), NEW)
            return response.size
        ended = response == stop
        return int(np.where(ended.any(axis=1), ended.argmax(axis=1) + 1, response.shape[1]).sum())

    return run


if __name__ == "__main__":
    here() if options.system else main()
