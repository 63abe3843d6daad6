"""The values that flow through the library, as NamedTuples without behaviour.

Letters, never varied: `B` rows, `N` candidates of one prompt (pairs: 0 = chosen, 1 = rejected), `T` tokens, `V`
vocabulary, `R` runs. Rows are `[prompt | response | padding]`, right-padded. All that has a `T` axis shares one index:
`logps[..., t]` is the log-probability of the token AT t given all before it, `values[..., t]` the value BEFORE it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Params = Any  # a pytree of jax.Array
Frozen = dict[str, Params]  # name -> parameters that never move: {"reference": ..., "reward": ...}
Hparams = dict[str, jax.Array]  # config path -> float32 scalar, traced: {"loss.beta": ..., "optim.lr": ...}


class Packing(NamedTuple):
    """Where the tokens of right-padded rows stand in a stream without padding, that holds a shared prompt once.

    Rows fall into `G` groups with a stream each, and `R` rows `[T]` of tokens each: see `prefjax.data.batches`.
    """

    stream: jax.Array  # [G, S] int32: index into the R * T tokens of the group; 0 at places that are not used
    place: jax.Array  # [..., T] int32, as the tokens: place of each token in its stream; 0 under padding
    copies: jax.Array  # [G, S, C] int32: all the indices that hold the token at each place, or -1


class Sequences(NamedTuple):
    """Token rows: `[B, T]` for SFT, `[B, 2, T]` for pairs, `[B, N, T]` for rankings and best-of-N."""

    tokens: jax.Array  # int32
    valid: jax.Array  # bool: a real token, not padding
    response: jax.Array  # bool: written by the policy; the mask of every loss
    packing: Packing | None = None  # a faster way through the model, to the same numbers


class Demos(NamedTuple):
    """A batch of demonstrations for supervised fine-tuning."""

    sequences: Sequences  # [B, T]
    weight: jax.Array  # [B], 0 on filler rows


class Pairs(NamedTuple):
    """A batch of preference pairs, candidate 0 preferred unless `target` says otherwise."""

    sequences: Sequences  # [B, 2, T]
    weight: jax.Array  # [B], 0 on filler rows
    ref_logps: jax.Array | None = None  # [B, 2, T], nats
    margin: jax.Array | None = None  # [B], in units of reward
    target: jax.Array | None = None  # [B], probability that candidate 0 wins
    grade: jax.Array | None = None  # [B] float32, whole numbers -3..3, positive where candidate 0 is better
    attributes: jax.Array | None = None  # [B, H], the target of each of H attributes; NaN where it was not judged


class Rankings(NamedTuple):
    """A batch of rankings: N candidates of a prompt, or fewer."""

    sequences: Sequences  # [B, N, T]; a candidate that a row lacks has no response
    weight: jax.Array  # [B], 0 on filler rows
    ranks: jax.Array  # [B, N] int32: 0 best, equal numbers equal ranks, -1 where a row has no such candidate
    ref_logps: jax.Array | None = None  # [B, N, T], nats


class Unpaired(NamedTuple):
    """A batch of single responses, each judged by itself: good or bad."""

    sequences: Sequences  # [B, T]
    mismatched: Sequences  # [B, T'], each prompt with the response to another: KTO estimates a KL on them
    weight: jax.Array  # [B], 0 on filler rows
    target: jax.Array  # [B], 1 good, 0 bad
    ref_logps: jax.Array | None = None  # [B, T], nats


class Steps(NamedTuple):
    """A batch of responses whose steps are judged, each by itself."""

    sequences: Sequences  # [B, T]
    weight: jax.Array  # [B], 0 on filler rows
    ends: jax.Array  # [B, T] bool: the last token of each step
    target: jax.Array  # [B, T] float32, there: 1 good, 0 bad


class Prompts(NamedTuple):
    """A batch of prompts to sample from, right-padded."""

    tokens: jax.Array  # [B, T]
    valid: jax.Array  # [B, T] bool
    ids: jax.Array  # [B] int32: index of the record each prompt came from


class Mixed(NamedTuple):
    """Prompts to sample from, and demonstrations to go on learning from beside them."""

    prompts: Prompts
    demos: Demos


class Rollout(NamedTuple):
    """Completions sampled on policy, and what is known about them."""

    sequences: Sequences  # [B, T]
    logps: jax.Array  # [B, T], under the distribution that sampled them
    ref_logps: jax.Array  # [B, T]
    values: jax.Array  # [B, T], 0 without a critic
    after: jax.Array  # [B], value after the last token: what a truncated completion may be worth yet
    scores: jax.Array  # [B], reward of the whole completion
    stopped: jax.Array  # [B] bool: ended by its stop token rather than by the limit
    weight: jax.Array  # [B], 0 on rows that nothing may be learnt from
    rival: Sequences | None = None  # [B, T], the completion that each is compared with
    rival_scores: jax.Array | None = None  # [B]


class Experience(NamedTuple):
    """A rollout with its credit assigned: what a policy-gradient loss needs."""

    sequences: Sequences  # [B, T]
    logps: jax.Array  # [B, T]
    ref_logps: jax.Array  # [B, T]
    values: jax.Array  # [B, T]
    advantages: jax.Array  # [B, T]
    returns: jax.Array  # [B, T]
    weight: jax.Array  # [B]
    demos: Demos | None = None  # to go on learning from: PPO-ptx


class TrainState(NamedTuple):
    """All that moves in training, and so all that a checkpoint holds."""

    step: jax.Array  # int32 scalar: updates done
    params: Params
    opt_state: Any
    carry: dict[str, Any]  # what an algorithm must remember: an averaged copy, an adaptive coefficient


class Algorithm(NamedTuple):
    """Two pure functions and a watch; `train.py` knows nothing more of an algorithm.

    init(key, params) -> TrainState
    step(state, frozen, hparams, batch, key) -> (TrainState, {name: Mean})
    watch({"train/name": number}) raises PrefjaxError where the metrics say that the run makes no sense
    """

    init: Callable[..., TrainState]
    step: Callable[..., tuple[TrainState, dict[str, Any]]]
    watch: Callable[[dict[str, float]], None] | None = None


class Setup(NamedTuple):
    """A run before its first step: what the loop starts from, and what an evaluation may look at."""

    config: Any
    tokenizer: Any
    nets: dict[str, Any]  # name -> model: "policy" and the frozen ones
    start: Callable[[int], Params]  # seed of a run -> what is trained, before the first step
    frozen: Frozen
    hparams: Hparams
    algorithm: Algorithm
    whole: Callable[[Params, Frozen, Hparams], Params]  # what is trained -> the parameters of the whole model
    parallel: Any  # how functions run on the devices: prefjax.mesh.Parallel
    batch_at: Callable[[int], Any]  # a pure function of the step: a batch on the devices
    batches_of: Callable[[int], Callable[[int], Any]]  # the same for any seed, of numpy arrays
    records: Any  # [rows] int32: which record of the source a row is of
    prompts: Any  # [rows] uint64: which prompts are trained on, so that an evaluation can keep off them
    facts: dict[str, Any]  # what the record should say of the data: rows, drops; evaluations add theirs
    shared: dict[Any, Any]  # what evaluations, and runs of one program, have in common: samples, compiled functions
