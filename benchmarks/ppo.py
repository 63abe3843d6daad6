"""Seconds of an iteration of PPO and of RLOO, in rollout, scoring and update, beside TRL's; and peak memory.

    python benchmarks/ppo.py --peers DIR --trl-python PYTHON --ppo-python PYTHON --out benchmarks/results/ppo.json

DIR holds the peer scripts; `--trl-python` has torch and trl 1.16, which has no PPO, and `--ppo-python` trl 1.12, the
last that has. An iteration samples 64 responses of 64 tokens to prompts of 32 (RLOO: 8 prompts, 8 responses each),
scores them with a reward model and takes 4 epochs of one minibatch; nothing stops early. PPO has a policy, a reference,
a reward model and a critic, each of the same shape; "shared trunk" reads values from the policy.

An iteration of prefjax is one program. Rollout is `generate` alone; three epochs are the difference of iterations of
four and of one, and the update 4/3 of it; scoring is the rest. Alternating processes, medians of the rounds; a
run that other processes disturbed is repeated.
"""

import argparse
import functools
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import quiet

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--peers", required=True, type=Path)
parser.add_argument("--trl-python")
parser.add_argument("--ppo-python")
parser.add_argument("--python", default=sys.executable)
parser.add_argument("--model", default="S")
parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"])
parser.add_argument("--works", nargs="+", default=["ppo", "rloo"])
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--iterations", type=int, default=4, help="after the first, which compiles")
parser.add_argument("--out", type=Path)
parser.add_argument("--system", help="measure this one here, and nothing else")
options = parser.parse_args()

SYSTEMS = {
    "ppo": ["prefjax ppo", "prefjax ppo, shared trunk", "TRL 1.12 ppo"],
    "rloo": ["prefjax rloo", "TRL 1.16 rloo"],
}
ROWS, GROUP, PROMPT, NEW, EPOCHS = 64, 8, 32, 64, 4


def main() -> None:
    lines = []
    for work in options.works:
        runs: dict[str, list[dict]] = {system: [] for system in SYSTEMS[work]}
        for number in range(options.rounds):
            for system in runs if number % 2 == 0 else reversed(runs):
                runs[system].append(quiet.measured(functools.partial(measure, system)))
        for system, found in runs.items():
            row = {name: statistics.median(run[name] for run in found) for name in found[0]}
            lines.append(json.dumps({"system": system, "dtype": options.dtype} | row))
            print(lines[-1], flush=True)
        if options.out:
            options.out.write_text("\n".join(lines) + "\n")


def measure(system: str) -> dict[str, float]:
    shared = ["--model", options.model, "--dtype", options.dtype]
    if system.startswith("prefjax"):
        arguments = [options.python, __file__, "--peers", str(options.peers), "--system", system]
        arguments += ["--iterations", str(options.iterations)]
    else:
        ppo = system.endswith("ppo")
        script = ["trl_ppo.py"] if ppo else ["trl_rl.py", "--algo", "rloo"]
        arguments = [options.ppo_python if ppo else options.trl_python, str(options.peers / script[0]), *script[1:]]
        arguments += ["--iters", str(options.iterations + 1)]
    done = subprocess.run([*arguments, *shared], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{system}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1].removeprefix("JSON "))
    names = {"iteration_s": "iter_s", "rollout_s": "rollout_s", "scoring_s": "score_s", "update_s": "update_s"}
    if not system.startswith("prefjax"):
        found |= {ours: found[f"{theirs}_median"] for ours, theirs in names.items()}
        found["others"] = found["other_cpu_frac"]
    return {name: found[name] for name in (*names, "peak_rss_mb", "compilations", "others") if name in found}


def tokenizer() -> SimpleNamespace:
    """All that a step asks of one; no token stops a response."""
    return SimpleNamespace(eos_id=-1)


def recipe(work: str, epochs: int):
    from prefjax.config import base

    c = base()
    c.algorithm, c.loss, c.reward = work, "ppo_policy_loss(epsilon=0.2)", "model()"
    c.tokenizer, c.optim.lr, c.rollout.max_new = "ppo:tokenizer()", 1e-5, NEW
    c.rl.epochs, c.rl.truncated = epochs, "keep"
    c.rollout.n = GROUP if work == "rloo" else 1
    c.batch_size = ROWS // c.rollout.n
    return c


def here() -> None:
    """Median seconds of one system of prefjax, peak memory and the programs of its step, as JSON."""
    sys.path.insert(0, str(options.peers))
    import common

    from prefjax import host

    host.keep_memory()

    import jax
    import numpy as np

    from prefjax import models
    from prefjax.config import hparams
    from prefjax.resolve import resolve
    from prefjax.sampling import generate
    from prefjax.train import one_step
    from prefjax.types import Prompts

    host.give_back_after_compiling()
    work, separate = options.system.split()[1].strip(","), not options.system.endswith("trunk")
    sizes = common.MODELS[options.model]
    shape = {"vocab": sizes["vocab"], "width": sizes["d"], "layers": sizes["layers"], "heads": sizes["heads"]}
    net = models.llama(**shape, mlp=sizes["ff"], positions=1024, tied=False)
    keys = jax.random.split(jax.random.key(0), 4)
    params = models.init(net, keys[0])
    frozen = {"reference": models.init(net, keys[0]), "reward": models.init(net, keys[1], heads=("score",))}
    net = models.computing(net, {"fp32": "float32", "bf16": "bfloat16"}[options.dtype])
    nets = {"policy": net, "reference": net, "reward": net}
    if work == "ppo" and separate:
        nets["value"], params = net, params | {"value": models.init(net, keys[2], heads=("score",))["params"]}

    def program(epochs):
        config = recipe(work, epochs)
        algorithm = resolve(config.algorithm, "prefjax.algorithms").function(config, nets)
        return algorithm, jax.jit(one_step(algorithm.step), donate_argnums=0), hparams(config)

    def prompts(number):
        count = ROWS // recipe(work, 1).rollout.n
        tokens = np.int32(common.make_prompts(options.model, count, seed=number, prompt_len=PROMPT))
        return Prompts(tokens, tokens >= 0, np.arange(count, dtype=np.int32))

    algorithm, step, numbers = program(EPOCHS)
    state, seconds = algorithm.init(keys[3], params), {"step": [], "one epoch": [], "generate": []}

    def update(name, step, state, number):
        clock = time.perf_counter()
        state, metrics = step(state, frozen, numbers, prompts(number), keys[3])
        jax.block_until_ready(metrics)
        seconds[name].append(time.perf_counter() - clock)
        return state

    meter = common.Meter()
    for number in range(options.iterations + 1):
        state = update("step", step, state, number)
        meter.mark()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    short = program(1)[1]
    for number in range(options.iterations + 1):
        state = update("one epoch", short, update("step", step, state, number), number)
        tokens, clock = prompts(number).tokens, time.perf_counter()
        knobs = {"max_new": NEW, "stop": -1, "n": ROWS // len(tokens)}
        jax.block_until_ready(generate(net, state.params, tokens, tokens >= 0, keys[number % 4], **knobs))
        seconds["generate"].append(time.perf_counter() - clock)
    median = {name: statistics.median(found[1:]) for name, found in seconds.items()}
    learning = EPOCHS / (EPOCHS - 1) * (median["step"] - median["one epoch"])
    found = {
        "iteration_s": median["step"],
        "rollout_s": median["generate"],
        "scoring_s": median["step"] - median["generate"] - learning,
        "update_s": learning,
        "peak_rss_mb": peak,
        "compilations": step._cache_size(),
        "others": meter.dict()["other_cpu_frac"],  # share of the machine that other processes took meanwhile
    }
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    here() if options.system else main()
