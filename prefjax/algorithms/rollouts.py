"""The policy's own samples with their scores: what all that learns from them shares."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from prefjax import advantages, mesh, models, ops, rewards
from prefjax.data import load
from prefjax.data.tokenizer import Tokenizer
from prefjax.errors import ConfigError, PrefjaxError
from prefjax.metrics import Mean
from prefjax.sampling import generate
from prefjax.types import Algorithm, Rollout, Sequences

TRUNCATED = ("keep", "penalise", "mask", "bootstrap")

# (params, tokens [B, T], hidden [B, T, D] of the policy or None) -> the value after each token [B, T]
Critic = Callable[[Any, jax.Array, jax.Array | None], jax.Array]
# (state, frozen, hparams, draw) -> completions to compare with, from draw(model, params, n=..., temperature=...)
Rival = Callable[..., tuple[Sequences, jax.Array]]


def roller(config: Any, nets: models.Models, critic: Critic | None = None, rival: Rival | None = None) -> Callable:
    """How samples are drawn and scored: (state, frozen, hparams, prompts, key) -> (Rollout, metrics).

    Args:
      config: `config.rollout`, `config.reward`, and of `config.rl` what says how scores are read.
      nets: the models of the run: "policy", "reference" and those that the reward names.
      critic: reads values.
      rival: draws what each sample is compared with: as many completions of a prompt, or one for all its samples.
    """
    policy, n, tokenizer = nets["policy"], config.rollout.n, load.tokenizer(config.tokenizer or config.model)
    judge = _judge(config, nets, tokenizer)

    def roll(state, frozen, hparams, batch, key):
        def draw(model, params, key, *, n=n, temperature=hparams["rollout.temperature"]):
            knobs = {"stop": tokenizer.eos_id, "temperature": temperature, "n": n}
            return sample(config, model, params, batch.tokens, batch.valid, key, **knobs)

        sequences, logps = draw(policy, state.params, key)
        pair = policy, state.params, nets["reference"], frozen["reference"]
        found = models.divergence(*pair, sequences, hparams["rollout.temperature"])
        ids = jnp.repeat(batch.ids, n)
        judged = judge(frozen, hparams, sequences, ids)
        values, after = jnp.zeros_like(logps), jnp.zeros_like(judged.scores)
        if critic is not None:
            read = critic(state.params, sequences.tokens, None)
            values, after = shift(read), jnp.take_along_axis(read, _ends(sequences), axis=1)[:, 0]
        parts = sequences, logps, found.ref_logps, values, after, judged.scores, judged.stopped
        rolled = Rollout(*parts, judged.known.astype(jnp.float32))
        told = _describe(sequences, logps, found, judged)
        if rival is not None:
            theirs, _ = rival(state, frozen, hparams, functools.partial(draw, key=jax.random.fold_in(key, 1)))
            share = len(ids) // len(theirs.tokens)  # the samples that one of theirs is compared with
            against = judge(frozen, hparams, theirs, ids[::share])
            theirs, against = jax.tree.map(lambda x: jnp.repeat(x, share, axis=0), (theirs, against))
            known, wins = judged.known & against.known, (1 + jnp.sign(judged.scores - against.scores)) / 2
            rolled = rolled._replace(weight=known.astype(jnp.float32), rival=theirs, rival_scores=against.scores)
            told |= {"rival/score": Mean.of(against.raw, against.scored), "rival/wins": Mean.of(wins, known)}
        if config.rl.drop_equal:
            groups = lambda x: x.reshape(-1, n)
            uneven = ~advantages.equal(groups(rolled.scores), where=groups(rolled.weight) > 0)
            rolled = rolled._replace(weight=jnp.where(uneven, groups(rolled.weight), 0.0).ravel())
            told |= {"groups_kept": Mean.of(uneven.astype(jnp.float32))}
        return rolled, told

    return roll


def sample(config: Any, model: Any, params: Any, tokens: jax.Array, valid: jax.Array, key: jax.Array, **knobs: Any):
    """`generate` by `config.rollout`, with `knobs` besides; what a row draws does not depend on the device it is on."""
    rows = len(tokens) * knobs.get("n", 1)
    first = 0 if config.parallel == "jit" else jax.lax.axis_index(mesh.PMAP_AXIS) * rows
    return generate(model, params, tokens, valid, key, max_new=config.rollout.max_new, first=first, **knobs)


class Judged(NamedTuple):
    """What completions are worth, `[B]` each."""

    raw: jax.Array  # as the reward says, 0 where it says nothing
    parts: dict[str, jax.Array]  # of the reward
    scored: jax.Array  # bool: the reward says something
    stopped: jax.Array  # bool: ended by its stop token
    scores: jax.Array  # clipped, and less the penalty of what was cut
    known: jax.Array  # bool: something may be learnt from it


def _judge(config: Any, nets: models.Models, tokenizer: Tokenizer) -> Callable[..., Judged]:
    records = functools.cache(lambda: load.records(config.data.train))
    reward = rewards.make(config.reward, nets, tokenizer, records)

    def judge(frozen, hparams, sequences, ids):
        stopped = jnp.take_along_axis(sequences.tokens, _ends(sequences), axis=1)[:, 0] == tokenizer.eos_id
        raw, parts = reward(frozen, sequences, ids)
        scored = known = ~jnp.isnan(raw)
        raw, clip = jnp.where(scored, raw, 0.0), hparams["rl.score_clip"]
        scores = jnp.where(clip > 0, jnp.clip(raw, -clip, clip), raw)
        if config.rl.truncated == "penalise":
            scores -= jnp.where(stopped, 0.0, hparams["rl.penalty"])
        if config.rl.truncated == "mask":
            known = scored & stopped
        return Judged(raw, parts, scored, stopped, scores, known)

    return judge


def _ends(sequences: Sequences) -> jax.Array:
    """Place of the last token of each row `[B, 1]`."""
    return jnp.sum(sequences.valid, axis=-1, keepdims=True) - 1


def _describe(sequences, logps, found, judged) -> dict[str, Mean]:
    """The metrics of samples, each the mean over sequences: KL and entropy in nats a sequence."""
    mask = sequences.response
    gaps = jnp.where(mask, jnp.abs(logps - found.logps), 0.0).ravel()
    worst = jnp.argmax(gaps)
    per_sequence = {
        "score": judged.raw,
        "length": jnp.sum(mask, axis=-1, dtype=jnp.float32),
        "stopped": judged.stopped.astype(jnp.float32),
        "kl": ops.sum_tokens(found.kl, mask),
        "kl/k1": ops.sum_tokens(ops.kl_k1(found.logps, found.ref_logps), mask),
        "kl/k3": ops.sum_tokens(ops.kl_k3(found.logps, found.ref_logps), mask),
        "entropy": ops.sum_tokens(found.entropy, mask),
    }
    if len(judged.parts) > 1:
        per_sequence |= {f"score/{name}": jnp.where(jnp.isnan(x), 0.0, x) for name, x in judged.parts.items()}
    told = {n: Mean.of(x, judged.scored if n.startswith("score") else None) for n, x in per_sequence.items()}
    extremes = {"mismatch": gaps, "mismatch/sampler": logps.ravel(), "mismatch/trainer": found.logps.ravel()}
    return (
        told
        | {"scored": Mean.of(judged.scored.astype(jnp.float32))}
        | {k: Mean.of(x[worst][None]) for k, x in extremes.items()}
    )


def check_batch(config: Any, batch: Any, kind: type) -> None:
    """Raises ConfigError unless a batch is of the kind that the algorithm eats."""
    if not isinstance(batch, kind):
        raise ConfigError(
            f"config.algorithm {config.algorithm!r} eats {kind.__name__}, got {type(batch).__name__}: "
            f"config.data.rows should be '{kind.__name__.lower()}()'"
        )


def check(config: Any, nets: models.Models, wrong: dict[str, bool], rows: int) -> None:
    """Raises ConfigError for settings that no samples can be scored or learnt from, and for the `wrong` that hold.

    Arguments as in `check_samples`.
    """
    rl, rollout = config.rl, config.rollout
    wrong = wrong | {
        f"reward is {config.reward!r}; it should be a call such as 'model()', with config.frozen.reward set": (
            not config.reward
        ),
        f"frozen.reference is not set; it should be the model that the KL is measured to: {config.model!r}": (
            "reference" not in nets
        ),
        f"rl.truncated is {rl.truncated!r}; it should be one of {', '.join(TRUNCATED)}": rl.truncated not in TRUNCATED,
        f"rl.drop_equal is True and rollout.n is {rollout.n}; there should be 2 samples of a prompt, or more": (
            rl.drop_equal and rollout.n < 2
        ),
        f"rollout.n is {rollout.n}; it should be 1 or more": rollout.n < 1,
    }
    check_samples(config, wrong, rows)


def check_samples(config: Any, wrong: dict[str, bool], rows: int) -> None:
    """Raises ConfigError for settings that no samples can be drawn by, and for the `wrong` that hold.

    Args:
      config: of the run.
      wrong: message -> whether it holds.
      rows: samples, or what is made of them, that the minibatches of a step share.
    """
    rl, rollout = config.rl, config.rollout
    demos = config.batch_size if config.data.pretrain else 0
    wrong = wrong | {
        f"rl.minibatches is {rl.minibatches}; it should divide the {rows} samples"
        + (f" and the {demos} demonstrations" if demos else "")
        + " of a step": rl.minibatches < 1 or rows % rl.minibatches > 0 or demos % rl.minibatches > 0,
        f"rl.epochs is {rl.epochs}; it should be 1 or more": rl.epochs < 1,
        f"rollout.max_new is {rollout.max_new}; it should be 1 or more": rollout.max_new < 1,
        f"rollout.temperature is {rollout.temperature}; it should be above 0": rollout.temperature <= 0,
    }
    for message, holds in wrong.items():
        if holds:
            raise ConfigError(f"config.{message}")


def check_group(config: Any) -> None:
    """Raises ConfigError unless there are several samples of a prompt to compare."""
    if config.rollout.n < 2:
        raise ConfigError(
            f"config.rollout.n is {config.rollout.n}; {config.algorithm} compares the samples of a prompt: 2 or more"
        )


def whole_scores(config: Any, rollout: Rollout, kl_coef: jax.Array) -> jax.Array:
    """Scores `[B]`, less the KL penalty of the sequence if the KL is in the reward."""
    if config.rl.kl_in == "loss":
        return rollout.scores
    return rollout.scores - kl_coef * ops.sum_tokens(
        ops.KL[config.rl.kl](rollout.logps, rollout.ref_logps), rollout.sequences.response
    )


def shift(after: jax.Array) -> jax.Array:
    """Values before each token `[B, T]` from those after it; the first is 0."""
    return jnp.pad(after[:, :-1], [(0, 0), (1, 0)])


def watched(config: Any, algorithm: Algorithm) -> Algorithm:
    """`algorithm`, with a PrefjaxError where the sampler and the trainer do not agree on what was sampled."""

    def watch(values: dict[str, float]) -> None:
        gap, allowed = values["train/mismatch"], config.rl.mismatch
        if gap > allowed:
            raise PrefjaxError(
                f"the sampler and the trainer disagree: the worst token of a step had log-probability "
                f"{values['train/mismatch/sampler']:.4f} when it was sampled and "
                f"{values['train/mismatch/trainer']:.4f} when it was scored, {gap:.4f} nats apart; "
                f"config.rl.mismatch allows {allowed}"
            )

    return algorithm._replace(watch=watch)
