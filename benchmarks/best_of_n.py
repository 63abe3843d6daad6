"""Seconds of the best of n as a function of n: with the prompt read once, and read again for every completion.

    python benchmarks/best_of_n.py [--prompt=448] [--max_new=32] [--most=32] [--rounds=3]

One query at a time, a random model that never stops, scored by a random reward model of the same shape; medians of
alternating rounds after one that compiles. Writes one line of JSON for each n.
"""

import argparse
import json
import statistics
import time

from prefjax import host

host.keep_memory()

import jax  # noqa: E402  (after the memory is kept: jax starts threads)

from prefjax import models  # noqa: E402
from prefjax.sampling import generate  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--prompt", type=int, default=448, help="tokens of the prompt")
parser.add_argument("--max_new", type=int, default=32, help="tokens of a completion")
parser.add_argument("--most", type=int, default=32, help="largest n")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--width", type=int, default=96)
parser.add_argument("--layers", type=int, default=3)
options = parser.parse_args()

VOCAB, KEY = 500, jax.random.key(0)
NET = models.llama(
    vocab=VOCAB, width=options.width, layers=options.layers, heads=4, positions=options.prompt + options.max_new
)
POLICY, REWARD = models.init(NET, KEY), models.init(NET, KEY, heads=("score",))
PROMPT = jax.random.randint(KEY, (1, options.prompt), 0, VOCAB)


@jax.jit
def score(sequences):
    return NET.apply(REWARD, sequences.tokens, sequences.valid, method="score")


def seconds(n: int, shared: bool) -> tuple[float, float]:
    """To sample n completions and to score them."""
    start = time.perf_counter()
    prompts = PROMPT if shared else PROMPT.repeat(n, axis=0)
    knobs = {"max_new": options.max_new, "stop": -1, "n": n if shared else 1}
    sequences, _ = generate(NET, POLICY, prompts, prompts >= 0, KEY, **knobs)
    jax.block_until_ready(sequences)
    sampled = time.perf_counter()
    jax.block_until_ready(score(sequences))
    return sampled - start, time.perf_counter() - sampled


n = 1
while n <= options.most:
    times = {True: [], False: []}
    for turn in range(options.rounds + 1):
        for shared in times:
            took = seconds(n, shared)
            times[shared] += [took] if turn else []
    sampling = {shared: statistics.median(took[0] for took in rows) for shared, rows in times.items()}
    scoring = statistics.median(took[1] for rows in times.values() for took in rows)
    row = {"n": n, "sample_s": sampling[True], "sample_unshared_s": sampling[False], "score_s": scoring}
    print(json.dumps({name: round(value, 4) for name, value in row.items()}), flush=True)
    n *= 2
