"""Steps of prefjax on the pairs of the peer scripts: same token ids, shape, batch and dtype.

    python benchmarks/steps.py --peers DIR --work dpo [--reference cached] [--packing off] [--dtype bf16] [--steps 40]

DIR is the folder with the peers' `common.py`, which makes the pairs. Prints one JSON line.
"""

import argparse
import functools
import json
import resource
import sys
import tempfile
from types import SimpleNamespace

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--peers", required=True)
parser.add_argument("--work", default="dpo", choices=["sft", "reward", "dpo"])
parser.add_argument("--reference", default="frozen", choices=["frozen", "cached"])
parser.add_argument("--packing", default="on", choices=["on", "off"])  # off: nothing is shared, padding is computed
parser.add_argument("--model", default="S")  # of the peers, or of shapes.py
parser.add_argument("--pairs", type=int, default=8)
parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"])
parser.add_argument("--steps", type=int, default=40)
parser.add_argument("--skip", type=int, default=5)
options = parser.parse_args()

sys.path.insert(0, options.peers)
import common  # noqa: E402  (the peers' own workload)
import shapes  # noqa: E402

shapes.add_to(common)

from prefjax import host  # noqa: E402

host.keep_memory()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from prefjax import mesh, models, reference  # noqa: E402
from prefjax.config import base, hparams  # noqa: E402
from prefjax.data.batches import batches  # noqa: E402
from prefjax.data.rows import Rows  # noqa: E402
from prefjax.resolve import resolve  # noqa: E402
from prefjax.train import compiled, prefetch, shapes  # noqa: E402

BATCH = 16 if options.work == "sft" else options.pairs  # documents or pairs a step, as the peers
LOSSES = {"sft": "sft_loss()", "reward": "bradley_terry_loss()", "dpo": "dpo_loss(beta=0.1)"}


def make_rows() -> Rows:
    """The peers' token ids as rows; for SFT a whole document is response but for its first token."""
    if options.work == "sft":
        parts = [(doc[:1], doc[1:]) for doc in common.make_docs(options.model, BATCH * options.steps)]
    else:
        parts = common.make_pairs(options.model, BATCH * options.steps)
    ends = np.cumsum([len(ids) for row in parts for ids in row]).reshape(len(parts), -1)
    starts = np.concatenate([[0], ends[:-1, -1]])[:, None]
    tokens = np.array([i for row in parts for ids in row for i in ids], np.int32)
    return Rows(tokens, np.concatenate([starts, ends], axis=1), np.arange(len(parts), dtype=np.int32))


def main() -> None:
    imported = common.proc_age()
    sizes = common.MODELS[options.model]
    config = base()
    config.algorithm, config.loss, config.optim.lr = options.work, LOSSES[options.work], 1e-5
    model = models.llama(
        vocab=sizes["vocab"],
        width=sizes["d"],
        layers=sizes["layers"],
        heads=sizes["heads"],
        mlp=sizes["ff"],
        positions=1024,
        tied=False,
    )
    drawn = functools.partial(models.init, model)
    model = models.computing(model, {"fp32": "float32", "bf16": "bfloat16"}[options.dtype])
    algorithm = resolve(config.algorithm, "prefjax.algorithms").function(config, {"policy": model, "reference": model})
    compilations = []

    def counted(*given):
        compilations.append(len(given))  # it is traced to be compiled
        return algorithm.step(*given)

    rows, parallel, frozen = make_rows(), mesh.make(config), {}
    if options.reference == "cached":
        with tempfile.TemporaryDirectory() as config.cache:
            config.batch_size, config.data.max_length = BATCH, 1024
            frozen = {"reference": jax.device_get(drawn(jax.random.key(0)))}
            rows, _ = reference.cached(config, model, frozen["reference"], parallel, tokenizer="", rows=rows)
    own = batches(rows, BATCH, 1024, seed=0)

    def batch_at(at):
        batch = own(at)
        if options.packing == "off":
            batch = batch._replace(sequences=batch.sequences._replace(packing=None))
        return parallel.deal(batch)

    run = SimpleNamespace(
        config=config,
        algorithm=algorithm._replace(step=counted),
        start=lambda seed: drawn(jax.random.key(seed)),
        frozen=frozen,
        hparams=hparams(config),
        parallel=parallel,
        batch_at=batch_at,
    )
    if options.work == "dpo" and not frozen:
        run.frozen = {"reference": shapes(run).params}
    state, step = compiled(run)
    if options.work == "dpo" and not frozen:
        run.frozen = {"reference": jax.tree.map(jnp.copy, state.params)}
    key = jax.random.key(1)
    tokens, first, meter = [], None, common.Meter()
    meter.mark()
    for _, batch in prefetch(batch_at, 0, options.steps):
        state, metrics = step(state, run.frozen, run.hparams, batch, key)
        jax.block_until_ready(metrics)
        first = first or common.proc_age()
        meter.mark()
        tokens.append(int(batch.sequences.valid.sum()))
    seconds, tokens = meter.arrays(options.skip)[0], np.array(tokens[options.skip :])
    print(
        json.dumps(
            {
                "system": "prefjax",
                "work": options.work,
                "reference": options.reference,
                "packing": options.packing,
                "model": options.model,
                "dtype": options.dtype,
                "steps": len(seconds),
                "step_s_median": round(float(np.median(seconds)), 4),
                "tokens_per_s": round(float(tokens.sum() / seconds.sum()), 1),
                "first_step_age_s": round(first, 2),
                "import_s": round(imported, 2),
                "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "compilations": len(compilations),
                "other_cpu_frac": meter.dict(options.skip)["other_cpu_frac"],
                "versions": {"jax": jax.__version__, "python": sys.version.split()[0]},
            }
        )
    )


main()
