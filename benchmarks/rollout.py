"""New tokens a second of `prefjax.sampling.generate` and of `generate` of transformers, in alternating processes.

    python benchmarks/rollout.py --peers DIR --trl-python PYTHON --out benchmarks/results/rollout.json

DIR holds the peer scripts, of which the model and the prompts are; `--trl-python` has torch and transformers. Responses
have 64 tokens, at temperature 1, without a stop token. Equal prompts have 32 tokens; ragged ones 8 to 32, which
transformers pads on the left. Responses of different lengths are not measured: neither side refills rows that are done.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--peers", required=True, type=Path)
parser.add_argument("--trl-python")
parser.add_argument("--python", default=sys.executable)
parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64])
parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"])
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--repeats", type=int, default=5)
parser.add_argument("--out", type=Path)
parser.add_argument("--system", choices=["prefjax", "transformers"], help="measure this one here, and nothing else")
options = parser.parse_args()

NEW, PROMPT, SHORTEST = 64, 32, 8


def main() -> None:
    results = []
    for dtype in options.dtypes:
        runs: dict[str, list[dict]] = {"prefjax": [], "transformers": []}
        for number in range(options.rounds):
            for system in runs if number % 2 == 0 else reversed(runs):
                runs[system].append(measure(system, dtype))
        for case in runs["prefjax"][0]:
            speed = {s: statistics.median(run[case] for run in found) for s, found in runs.items()}
            ratio = speed["prefjax"] / speed["transformers"]
            results.append({"dtype": dtype, "case": case, "new_tokens_per_s": speed, "times_faster": ratio})
            print(json.dumps(results[-1]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


def measure(system: str, dtype: str) -> dict[str, float]:
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
    """Median new tokens a second of one system, over the repeats after the first, as JSON."""
    sys.path.insert(0, str(options.peers))
    import common
    import numpy as np

    common.quiet_env()
    sizes = common.MODELS["S"]
    generate = {"prefjax": with_prefjax, "transformers": with_transformers}[options.system](sizes, options.dtypes[0])
    found = {}
    for batch in options.batches:
        for kind in ("equal", "ragged"):
            tokens = common.make_prompts("S", batch, prompt_len=PROMPT)
            lengths = np.random.default_rng(1).integers(SHORTEST, PROMPT + 1, batch)
            lengths[0] = PROMPT
            kept = PROMPT if kind == "equal" else lengths[:, None]
            seconds = []
            for number in range(options.repeats + 1):
                clock = time.perf_counter()
                generate(tokens, np.broadcast_to(np.arange(PROMPT) < kept, tokens.shape), number)
                seconds.append(time.perf_counter() - clock)
            found[f"{batch} x {kind}"] = round(batch * NEW / statistics.median(seconds[1:]), 1)
    print(json.dumps(found))


def with_prefjax(sizes: dict[str, int], dtype: str) -> Callable[..., Any]:
    from prefjax import host

    host.keep_memory()

    import jax
    import numpy as np

    from prefjax import models
    from prefjax.sampling import generate

    shape = {"vocab": sizes["vocab"], "width": sizes["d"], "layers": sizes["layers"], "heads": sizes["heads"]}
    model = models.llama(**shape, mlp=sizes["ff"], positions=1024, tied=False)
    params = models.init(model, jax.random.key(0))
    model = models.computing(model, {"fp32": "float32", "bf16": "bfloat16"}[dtype])

    def run(tokens, valid, number):
        rows, _ = generate(
            model, params, np.int32(tokens), valid, jax.random.key(number), max_new=NEW, stop=np.int32(-1)
        )
        jax.block_until_ready(rows)

    return run


def with_transformers(sizes: dict[str, int], dtype: str) -> Callable[..., Any]:
    import numpy as np
    import torch
    import torch_common
    from transformers import GenerationConfig

    model = torch_common.lm("S").eval()
    model.generation_config.eos_token_id = None
    knobs = {"max_new_tokens": NEW, "do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    knobs = GenerationConfig(**knobs, pad_token_id=0, eos_token_id=None)
    half = torch.autocast("cpu", dtype=torch.bfloat16) if dtype == "bf16" else contextlib.nullcontext()

    def run(tokens, valid, number):
        valid = valid[:, ::-1]
        padded = torch.tensor(np.where(valid, tokens, 0))
        with torch.no_grad(), half:
            rows = model.generate(padded, attention_mask=torch.tensor(valid.astype(np.int64)), generation_config=knobs)
        assert rows.shape == (len(tokens), PROMPT + NEW)

    return run


here() if options.system else main()
