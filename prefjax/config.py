"""Every setting of a run, in one place, with its default.

A recipe in `configs/` starts from `base()` and changes what it is about. Plug-ins are call strings (see `resolve`);
all else are plain leaves. Floats under `optim`, `lora`, `rollout` and `rl` and the numbers of the losses, of
`reference`, `optim.tx` and `optim.schedule` are traced.
"""

import json
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from prefjax.errors import ConfigError
from prefjax.resolve import is_call
from prefjax.sums import mixture

_FLOAT32_MAX = 3.4028234663852886e38


def base() -> ConfigDict:
    """The settings shared by all recipes."""
    c = ConfigDict()
    c.seed = 0
    c.steps = 1000
    c.batch_size = 32

    c.algorithm = "dpo"  # a module of prefjax.algorithms, or "my.module:make"
    c.loss = "dpo_loss(beta=0.1)"  # of prefjax.losses, or "my.module:my_loss(tau=0.3)", or a sum: "a() + 0.2 * b()"
    c.model = ""  # a Hugging Face folder, a workdir, workdir@step, or "llama(width=64, layers=2, heads=4)"
    c.tokenizer = ""  # a folder, or a call string; empty: the model's own
    c.dtype = "float32"  # of the computation; parameters and optimizer state stay float32
    c.remat = False  # recompute all activations in the backward pass, not only those that cost little
    c.frozen = ConfigDict()  # name -> reference: c.frozen.reference = c.model
    c.reference = "frozen"  # how frozen.reference is used: "frozen", "cached" on disk, or moving: "sync(alpha=0.01)"
    c.cache = ""  # folder of cached log-probs; empty: $PREFJAX_CACHE, else ~/.cache/prefjax
    c.trained = ConfigDict()  # name -> reference of a model trained beside the policy: c.trained.value

    c.lora = ConfigDict()  # train low-rank adapters on a frozen model: docs/lora.md
    c.lora.rank = 0  # of the adapters; 0: none, all of the model is trained
    c.lora.alpha = 16.0  # an adapter counts alpha / rank
    c.lora.targets = "layers/"  # regex of the paths of the linear layers that have one

    c.data = ConfigDict()
    c.data.train = ""  # a source: "pairs(path='pairs.jsonl')", "prefjax.worlds.desk:pairs(n=4000)"
    c.data.pretrain = ""  # source of demonstrations mixed into on-policy updates
    c.data.rows = "pairs()"  # what the algorithm eats: "pairs()", "rankings()", "unpaired()", "demos()", "prompts()"
    c.data.max_length = 256  # tokens of prompt and response; longer rows are dropped and counted

    c.optim = ConfigDict()
    c.optim.tx = "adamw(b2=0.95, weight_decay=0.0)"  # a function of optax
    c.optim.lr = 1e-4
    c.optim.schedule = "constant(warmup=10)"  # constant, linear or cosine, times lr
    c.optim.clip = 1.0  # largest global norm of the gradient; 0: no clipping
    c.optim.accumulate = 1  # microbatches a step
    c.optim.ema = 0.0  # decay of an averaged copy of the parameters in the state; 0: none
    c.optim.decay = "kernel|embedding"  # regex of the parameter paths that weight decay acts on

    # What on-policy algorithms add. Floats are traced.
    c.reward = ""  # a sum of functions of prefjax.rewards: "model()", "model() + 0.1 * length(target=20)"
    c.value_loss = "ppo_value_loss(epsilon=0.2)"  # a function of prefjax.losses
    c.rollout = ConfigDict()
    c.rollout.n = 1  # completions of each prompt; GRPO, RLOO, online DPO and RAFT compare them
    c.rollout.max_new = 64  # tokens of a completion
    c.rollout.temperature = 1.0  # of the samples, and of every log-probability of them
    c.rl = ConfigDict()
    c.rl.epochs = 4  # passes over the samples of a step
    c.rl.minibatches = 1  # updates of a pass
    c.rl.kl = "k1"  # estimate of the KL a token: "k1", "k2" or "k3"
    c.rl.kl_in = "reward"  # "reward", or "loss"
    c.rl.kl_coef = 0.05
    c.rl.kl_target = 0.0  # nats a sequence that the coefficient is adapted to (Ziegler et al. 2019); 0: it is fixed
    c.rl.kl_horizon = 10000.0  # completions over which it is adapted
    c.rl.gamma = 1.0  # discount
    c.rl.lam = 0.95  # of generalised advantage estimation
    c.rl.value_coef = 0.1  # of the value loss
    c.rl.entropy_coef = 0.0  # of the entropy bonus
    c.rl.pretrain_coef = 0.0  # of the loss on `data.pretrain` (PPO-ptx: Ouyang et al. 2022, equation 2)
    c.rl.critic_warmup = 0  # steps in which the critic learns alone; on the policy's trunk it moves the trunk
    c.rl.whiten_advantages = True  # of all algorithms with advantages; the papers of GRPO, RLOO, ReMax, Nash-MD: False
    c.rl.whiten_rewards = False  # their mean is kept
    c.rl.score_clip = 0.0  # largest absolute score; 0: none
    c.rl.std = True  # GRPO divides by the standard deviation of a prompt's scores; False: Dr. GRPO
    c.rl.drop_equal = False  # leave out prompts whose samples all have one score: DAPO
    c.rl.labels = "hard"  # of pairs of samples: which score is higher, or "soft": sigmoid of their difference
    c.rl.mixture = 0.5  # weight of the reference in the mixture that Nash-MD plays against
    c.rl.ddof = 0  # of standard deviations, in whitening and in GRPO: 0 (lm-human-preferences), or 1 (TRL)
    c.rl.baseline_decay = 0.9  # of the mean score that REINFORCE compares with, a step
    c.rl.truncated = "penalise"  # completions cut by `max_new`: "keep", "penalise", "mask" or "bootstrap"
    c.rl.penalty = 1.0  # taken from the score of a completion without its stop token, with "penalise"
    c.rl.mismatch = 0.1  # nats that a log-probability of the sampler may be off from the trainer's

    c.parallel = "jit"  # "jit": one program over the mesh; "pmap": a copy of the state on each device
    c.mesh = ConfigDict()  # devices along each axis
    c.mesh.data = 0  # rows of the batch; 0: all devices that are left
    c.mesh.fsdp = 1  # rows of the batch and pieces of the parameters
    c.mesh.tensor = 1  # heads and hidden units

    c.evals = ConfigDict()  # name -> call string: "held_out(source=...)", "samples(source=...)"
    c.eval_every = 0  # steps; 0: before the first and after the last
    c.log_every = 10
    c.checkpoint_every = 0  # steps; 0: after the last
    c.keep = 2  # newest checkpoints kept
    c.checkpoint_timeout = 1200  # seconds after which a checkpoint that is still being written counts as hung

    c.budget = ConfigDict()  # how far a run may drift from its start, as evaluations measure it; a limit of 0: none
    c.budget.kl = 10.0  # nats a completion, to the original reference even where the reference moves
    c.budget.length_ratio = (0.85, 1.25)  # to the reference's own completions: least and most
    c.budget.benign_refusal = 2.0  # points that refusals of what should be answered may rise
    c.budget.unsafe_refusal = -2.0  # points that refusals of what should be refused may fall
    c.budget.factuality = -1.0  # points that the share of right answers may fall
    c.budget.missing_eos = 0.05  # share of completions that do not end by themselves
    c.budget.entropy = 0.5  # of a token, least share of the start's
    c.budget.patience = 3  # evaluations in a row that are over the KL before that is a breach
    c.budget.on_breach = "warn"  # "warn", "stop", or "rollback" to the newest checkpoint inside the budget

    c.wandb = False  # mirror to Weights & Biases; offline unless WANDB_MODE says otherwise
    c.tensorboard = False  # mirror to event files in workdir/tensorboard
    return c


def numbers(config: Any) -> dict[str, float]:
    """The numbers of a config that reach the step as traced scalars, flat, under their paths.

    They are the floats of `config.optim` and `config.rollout` and the numbers of the call strings: `loss.beta` is the
    keyword `beta` of the call in `config.loss` (`prefjax.sums` has the paths of a sum). With a reward they are those of
    `config.rl` too, with adapters that of `config.lora`. Runs that differ in nothing else are one compiled program.
    """
    calls = {
        "loss": mixture(config.loss, "prefjax.losses"),
        "optim.tx": mixture(config.optim.tx, "optax"),
        "optim.schedule": mixture(config.optim.schedule, "prefjax.optim"),
    }
    if is_call(config.reference):
        calls["reference"] = mixture(config.reference, "prefjax.reference")
    parts = ["optim", "rollout"] + ["lora"] * (config.lora.rank > 0)
    if config.reward:
        parts.append("rl")
        calls["value_loss"] = mixture(config.value_loss, "prefjax.losses")
    floats = ((f"{part}.{name}", value) for part in parts for name, value in config[part].items())
    flat = {path: value for path, value in floats if isinstance(value, float)}
    found = ((path, term.numbers) for path, terms in calls.items() for term in terms)
    return flat | {f"{path}.{name}": value for path, numbers in found for name, value in numbers.items()}


def hparams(config: Any) -> dict[str, Any]:
    """The numbers of a config as the step takes them: float32 scalars."""
    import jax.numpy as jnp

    return {path: jnp.float32(number) for path, number in numbers(config).items()}


def validate(config: ConfigDict) -> None:
    """Raises ConfigError for a setting that no run can start from."""
    for name in ("steps", "eval_every", "checkpoint_every"):
        _require(config[name] >= 0, name, config[name], "0 or more")
    for name in ("batch_size", "log_every", "keep", "checkpoint_timeout"):
        _require(config[name] >= 1, name, config[name], "1 or more")
    _require(config.optim.accumulate >= 1, "optim.accumulate", config.optim.accumulate, "1 or more")
    _require(
        config.batch_size % config.optim.accumulate == 0,
        "optim.accumulate",
        config.optim.accumulate,
        f"a divisor of batch_size = {config.batch_size}",
    )
    for path, number in numbers(config).items():
        _require(abs(number) <= _FLOAT32_MAX, path, number, "finite in float32")
    for name in ("lr", "clip"):
        _require(config.optim[name] >= 0, f"optim.{name}", config.optim[name], "0 or more")
    _require(0 <= config.optim.ema < 1, "optim.ema", config.optim.ema, "in [0, 1)")
    _require(config.lora.rank >= 0, "lora.rank", config.lora.rank, "0 (no adapters) or more")
    _require(
        config.reference in ("frozen", "cached") or is_call(config.reference),
        "reference",
        config.reference,
        "'frozen', 'cached' or a call such as 'sync(alpha=0.01)'",
    )
    alpha, every = (numbers(config).get(f"reference.{name}", 1.0) for name in ("alpha", "steps"))
    _require(0 <= alpha <= 1, "reference.alpha", alpha, "in [0, 1]")
    _require(every >= 1 and every == int(every), "reference.steps", every, "a whole number, 1 or more")
    _require(config.parallel in ("jit", "pmap"), "parallel", config.parallel, "'jit' or 'pmap'")
    _require(config.dtype in ("float32", "bfloat16"), "dtype", config.dtype, "'float32' or 'bfloat16'")
    for name, value in (("model", config.model), ("data.train", config.data.train)):
        _require(bool(value), name, value, f"set: --config.{name}=...")
    _validate_budget(config)
    if is_call(config.model):
        _require(bool(config.tokenizer), "tokenizer", config.tokenizer, "set: --config.tokenizer=...")


def _validate_budget(config: ConfigDict) -> None:
    budget, acts = config.budget, config.budget.on_breach
    for name in ("kl", "benign_refusal"):
        _require(0 <= budget[name] < float("inf"), f"budget.{name}", budget[name], "0 (no limit) or more")
    for name in ("unsafe_refusal", "factuality"):
        wanted = "0 (no limit) or less: points that it may fall"
        _require(-100 <= budget[name] <= 0, f"budget.{name}", budget[name], wanted)
    for name in ("missing_eos", "entropy"):
        _require(0 <= budget[name] <= 1, f"budget.{name}", budget[name], "a share in [0, 1]")
    ratio = budget.length_ratio
    wanted = "(least, most), such as (0.85, 1.25); 0: no limit on that side"
    pair = len(ratio) == 2 and all(isinstance(x, int | float) for x in ratio)
    _require(pair and 0 <= ratio[0] <= 1 and (ratio[1] == 0 or ratio[1] >= 1), "budget.length_ratio", ratio, wanted)
    _require(budget.patience >= 1, "budget.patience", budget.patience, "1 or more")
    _require(acts in ("warn", "stop", "rollback"), "budget.on_breach", acts, "'warn', 'stop' or 'rollback'")
    if acts == "warn":
        return
    told = f"config.budget.on_breach is {acts!r}, and "
    if not any(config.evals.values()) or not config.eval_every:
        raise ConfigError(f"{told}nothing measures the drift: set config.evals and config.eval_every")
    if acts == "rollback" and (not config.checkpoint_every or config.checkpoint_every % config.eval_every):
        raise ConfigError(
            f"{told}config.checkpoint_every is {config.checkpoint_every}; it should be a multiple of config.eval_every "
            f"= {config.eval_every}, so that each checkpoint is known to be inside the budget, or not"
        )


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mapping -> {"a.b": leaf}, as JSON reads it back."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        inner = isinstance(value, Mapping)
        flat |= flatten(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": json.loads(json.dumps(value))}
    return flat


def _require(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigError(f"config.{name} is {value!r}; it should be {wanted}")
