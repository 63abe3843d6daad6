"""Every run of the study: its sizes by profile, and a frozen config for each method.

Learning rates were chosen on other prompts than those that are measured: see README.md.
"""

from pathlib import Path
from typing import Any, NamedTuple

from prefjax import sweep
from prefjax.config import base

HERE = "experiments.dpo_frontier"
ROWS = "pairs(expand_rankings=True)"
METHODS = ("DPO", "Preferred-FT", "Unlikelihood", "PPO")  # that train; a sweep each
SETTINGS = {"DPO": "loss.beta", "Unlikelihood": "loss.alpha", "PPO": "rl.kl_target"}  # what tells settings apart


class Profile(NamedTuple):
    """Sizes of the study."""

    model: str
    vocab: int
    chars: int  # of a passage
    max_new: int  # tokens of a completion
    max_length: int  # tokens of a row
    reviews: int  # that the language model learns from
    sft_steps: int
    sft_batch: int
    prompts: int  # reviews whose beginnings are completed for pairs
    held_out: int  # reviews whose beginnings all methods are measured on, and whose passages test the language model
    reward_epochs: float
    steps: int  # updates of DPO, preferred fine-tuning and unlikelihood, on `batch` pairs each
    batch: int
    eval_every: int
    ppo_steps: int
    ppo_batch: int
    ppo_minibatches: int
    ppo_eval_every: int
    betas: tuple[float, ...]
    alphas: tuple[float, ...]
    targets: tuple[float, ...]  # KL of PPO, nats a completion
    seeds: int
    ppo_seeds: int
    n: int  # of best-of-n


PROFILES = {
    "gpu": Profile(
        model="llama(width=384, layers=6, heads=6)", vocab=8192, chars=240, max_new=80, max_length=112,
        reviews=50_000, sft_steps=3000, sft_batch=128, prompts=25_000, held_out=512, reward_epochs=3.0,
        steps=800, batch=64, eval_every=100, ppo_steps=64, ppo_batch=1024, ppo_minibatches=4, ppo_eval_every=8,
        betas=(0.05, 0.1, 1.0, 5.0), alphas=(0.05, 0.1, 0.5, 1.0), targets=(3.0, 6.0, 9.0, 12.0),
        seeds=3, ppo_seeds=4, n=64,
    ),
    "cpu": Profile(
        model="llama(width=96, layers=2, heads=4)", vocab=2048, chars=120, max_new=32, max_length=64,
        reviews=20_000, sft_steps=900, sft_batch=64, prompts=1600, held_out=256, reward_epochs=2.0,
        steps=96, batch=64, eval_every=16, ppo_steps=30, ppo_batch=96, ppo_minibatches=2, ppo_eval_every=5,
        betas=(0.1, 1.0), alphas=(0.5,), targets=(3.0, 9.0),
        seeds=2, ppo_seeds=2, n=16,
    ),
    "tiny": Profile(
        model="llama(width=16, layers=1, heads=2)", vocab=300, chars=60, max_new=32, max_length=96,
        reviews=40, sft_steps=200, sft_batch=16, prompts=100, held_out=8, reward_epochs=1.0,
        steps=2, batch=4, eval_every=1, ppo_steps=2, ppo_batch=4, ppo_minibatches=2, ppo_eval_every=1,
        betas=(0.1, 1.0), alphas=(0.5,), targets=(3.0, 9.0),
        seeds=1, ppo_seeds=1, n=2,
    ),
}  # fmt: skip


def prompts(folder: Path, part: str = "train") -> str:
    """Beginnings: "train" for pairs and PPO, "test" for measuring all methods."""
    return f"prompts(path={str(folder / f'beginnings_{part}.jsonl')!r})"


def pairs(folder: Path, part: str = "train") -> str:
    """Nine in ten of the beginnings with their completions, or the others."""
    source = f"pairs(path={str(folder / 'pairs.jsonl')!r})"
    return f"split(source={source!r}, part={part!r})"


def gold_judge(folder: Path) -> str:
    """For evaluations."""
    return f"{HERE}.gold:judge(path={str(folder / 'gold.npz')!r})"


def gold_reward(folder: Path) -> str:
    """For what takes rewards."""
    return f"text(function={gold_judge(folder)!r}, key='gold')"


def language_model(p: Profile, folder: Path) -> Any:
    """The reference: a transformer from scratch on passages of reviews."""
    c = base()
    c.steps, c.batch_size, c.log_every = p.sft_steps, p.sft_batch, 20
    c.algorithm, c.loss = "sft", "sft_loss()"
    c.model, c.tokenizer = p.model, str(folder / "tokenizer")
    c.data.train, c.data.rows, c.data.max_length = _texts(folder, "train"), "demos()", p.max_length
    c.optim.lr, c.optim.schedule = 3e-3, f"cosine(warmup={max(p.sft_steps // 30, 1)})"
    c.evals.held_out = f"held_out(source={_texts(folder, 'test')!r}, allow_overlap=True)"  # a few short passages
    c.checkpoint_every = 100
    return c


def reward(p: Profile, folder: Path, count: int) -> Any:
    """The reward model: the reference with a scalar head, for some epochs over `count` pairs."""
    c = _on_pairs(p, folder, "bradley_terry_loss(centering=0.01)", 1e-3)
    c.algorithm = "reward"
    c.steps = max(round(p.reward_epochs * count / p.batch), 1)
    c.optim.schedule = "cosine(warmup=20)"
    c.evals.held_out = f"held_out(source={pairs(folder, 'held_out')!r}, rows={ROWS!r})"
    c.eval_every, c.checkpoint_every = 0, 50
    return c


def runs(p: Profile, folder: Path) -> dict[str, list[sweep.Run]]:
    """The runs of each method, a sweep each."""
    seeds = sweep.Axis("seed", tuple(range(p.seeds)))
    ppo_seeds = sweep.Axis("seed", tuple(range(p.ppo_seeds)))
    of_pairs = lambda loss, lr: _measured(_on_pairs(p, folder, loss, lr), p, folder)
    return {
        "DPO": sweep.runs(of_pairs("dpo_loss(beta=0.1)", 4e-4), [sweep.Axis("loss.beta", p.betas), seeds]),
        "Preferred-FT": sweep.runs(of_pairs("unlikelihood_loss(alpha=0.0)", 1e-3), [seeds]),
        "Unlikelihood": sweep.runs(
            of_pairs("unlikelihood_loss(alpha=0.1)", 1e-3), [sweep.Axis("loss.alpha", p.alphas), seeds]
        ),
        "PPO": sweep.runs(_ppo(p, folder), [sweep.Axis("rl.kl_target", p.targets), ppo_seeds]),
    }


def _texts(folder: Path, part: str) -> str:
    return f"demos(path={str(folder / f'texts_{part}.jsonl')!r}, text='response')"


def _on_pairs(p: Profile, folder: Path, loss: str, lr: float) -> Any:
    """Six pairs of the four completions of each beginning."""
    c = base()
    c.algorithm, c.loss = "dpo", loss
    c.steps, c.batch_size, c.log_every = p.steps, p.batch, 5
    c.model = str(folder / "sft")
    c.data.train, c.data.rows, c.data.max_length = pairs(folder), ROWS, p.max_length
    c.optim.lr, c.optim.schedule = lr, "constant(warmup=10)"
    c.eval_every = c.checkpoint_every = p.eval_every
    return c


def _ppo(p: Profile, folder: Path) -> Any:
    c = _measured(base(), p, folder)
    c.algorithm, c.loss, c.reward = "ppo", "ppo_policy_loss(epsilon=0.2)", "model()"
    c.steps, c.batch_size, c.log_every = p.ppo_steps, p.ppo_batch, 1
    c.trained.value = str(folder / "reward")
    c.data.train, c.data.rows, c.data.max_length = prompts(folder), "prompts()", p.max_length
    c.rollout.max_new = p.max_new
    c.rl.epochs, c.rl.minibatches, c.rl.kl_coef = 2, p.ppo_minibatches, 0.1
    c.rl.kl_target = 6.0
    c.rl.kl_horizon = 2.0 * p.ppo_batch  # so that the price of a nat can change by 10 % a step
    c.optim.lr, c.optim.schedule = 4e-4, "constant(warmup=3)"
    c.eval_every = c.checkpoint_every = p.ppo_eval_every
    return c


def _measured(c: Any, p: Profile, folder: Path) -> Any:
    """With the models it needs, and the evaluation that all runs share: the same prompts, the same noise."""
    c.model = str(folder / "sft")
    c.frozen.reference, c.frozen.reward = c.model, str(folder / "reward")
    knobs = {"judge": gold_judge(folder), "limit": p.held_out, "max_new": p.max_new, "batch_size": 256}
    c.evals.answers = (
        f"samples(source={prompts(folder, 'test')!r}, {', '.join(f'{k}={v!r}' for k, v in knobs.items())})"
    )
    c.budget.kl = 0.0  # how far runs drift is what is measured
    return c
