"""What a win rate would be if the answers were equally long."""

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.special import expit

from prefjax.evals.stats import Interval, bootstrap, numbered

# Weights of the squares in the penalty: before anything is seen, standard deviations of 32, 3 and 1 in log-odds. What a
# length can explain as well as the model, as where one side is always the longer one, is left to the model.
PENALTY = {"model": 1e-3, "length": 0.1, "prompt": 1.0}
_STEPS, _TOLERANCE = 100, 1e-9


def win_rate_lc(
    wins: Sequence[float],
    longer_by: Sequence[float],
    prompts: Sequence[Hashable],
    *,
    resamples: int = 200,
    seed: int = 0,
) -> Interval:
    """The length-controlled win rate of AlpacaEval 2, with a bootstrap over prompts.

    A logistic regression explains who wins,

        log-odds of a win = theta + phi tanh(d / std(d)) + gamma[prompt],

    by the model, the difference `d` of the lengths and the prompt; the win rate is then that of its predictions at
    d = 0 (Dubois et al. 2024, equations 1 and 2, https://arxiv.org/abs/2404.04475). Swapping the two sides gives one
    minus it, equal answers give 1/2, and a judge whom length does not move gives the raw win rate.

    It differs from AlpacaEval in what one comparison of two models leaves out: gamma is fitted here, shrunk towards 0,
    where AlpacaEval takes it from the comparisons of a hundred other models, each with a slope of its own; and weak
    squares keep theta and phi finite, where AlpacaEval chooses an absolute penalty by cross-validation and adds the
    baseline's own brief and verbose answers, whose preferences it knows. Where one side is always the longer one, no
    such regression knows what equal lengths would bring.

    Args:
      wins: 1, 1/2 or 0 a comparison; or any probability.
      longer_by: length of the answer less that of the baseline, in any unit.
      prompts: of each comparison.
      resamples, seed: of the bootstrap.
    """
    y, d = np.asarray(wins, float), np.asarray(longer_by, float)
    spread = d.std()
    x = np.tanh(d / spread) if spread else np.zeros_like(d)  # one difference alone explains nothing
    inside = _Sums(numbered(prompts))
    start = _fit(y, x, inside, np.ones((1, len(y))), np.zeros((1, 2 + inside.count)))

    def predicted(weights: np.ndarray) -> np.ndarray:
        found = _fit(y, x, inside, weights, np.repeat(start, len(weights), axis=0))
        return np.sum(weights * expit(found[:, :1] + inside.each(found[:, 2:])), axis=1) / weights.sum(axis=1)

    return bootstrap(predicted, prompts, resamples=resamples, seed=seed)


class _Sums:
    """Sums over the comparisons of a prompt, and back to the comparisons."""

    def __init__(self, numbers: np.ndarray):
        self.numbers, self.count = numbers, int(numbers.max()) + 1
        self._order = np.argsort(numbers, kind="stable")
        self._first = np.searchsorted(numbers[self._order], np.arange(self.count))

    def __call__(self, values: np.ndarray) -> np.ndarray:  # [R, n] -> [R, prompts]
        return np.add.reduceat(values[:, self._order], self._first, axis=1)

    def each(self, values: np.ndarray) -> np.ndarray:  # [R, prompts] -> [R, n]
        return values[:, self.numbers]


def _fit(y: np.ndarray, x: np.ndarray, inside: _Sums, weights: np.ndarray, start: np.ndarray) -> np.ndarray:
    """theta, phi and the gammas `[R, 2 + prompts]` for each row of weights `[R, n]`, by Newton's method.

    A prompt that is drawn twice is two prompts with one gamma each, so the penalty of gamma is weighted too. The
    Hessian has no entries between prompts: they are eliminated, and what is left is two by two.
    """
    penalty = np.empty((len(weights), 2 + inside.count))
    penalty[:, 0], penalty[:, 1] = PENALTY["model"], PENALTY["length"]
    penalty[:, 2:] = PENALTY["prompt"] * inside(weights) / inside(np.ones((1, len(y))))
    logits = lambda b: b[:, :1] + b[:, 1:2] * x + inside.each(b[:, 2:])

    def cost(b):
        z = logits(b)
        return np.sum(weights * (np.logaddexp(0, z) - y * z), axis=1) + np.sum(penalty * b**2, axis=1) / 2

    found, best = start, cost(start)
    for _ in range(_STEPS):
        step = _newton(y, x, inside, weights, found, penalty, expit(logits(found)))
        size = np.ones((len(weights), 1))
        for _ in range(_STEPS):  # halves the steps that lead uphill
            tried = found + size * step
            new = cost(tried)
            worse = new > best + _TOLERANCE
            if not worse.any():
                break
            size[worse] /= 2
        found, best = tried, new
        if np.abs(size * step).max() < _TOLERANCE:
            return found
    raise ArithmeticError("the regression on lengths did not converge")


def _newton(y, x, inside, weights, found, penalty, p) -> np.ndarray:
    """The step from `found`: the inverse Hessian times the gradient."""
    rest, curve = weights * (y - p), weights * p * (1 - p)
    by_model, by_length = inside(curve), inside(curve * x)
    own = by_model + penalty[:, 2:]
    own = np.where(own > 0, own, 1.0)  # a prompt that is not drawn stays where it is
    slope = inside(rest) - penalty[:, 2:] * found[:, 2:]
    at_model, at_length = by_model / own, by_length / own
    a = np.sum(by_model - by_model * at_model, axis=1) + penalty[:, 0]
    b = np.sum(by_length - by_model * at_length, axis=1)
    c = np.sum(curve * x**2, axis=1) - np.sum(by_length * at_length, axis=1) + penalty[:, 1]
    u = np.sum(rest, axis=1) - penalty[:, 0] * found[:, 0] - np.sum(at_model * slope, axis=1)
    v = np.sum(rest * x, axis=1) - penalty[:, 1] * found[:, 1] - np.sum(at_length * slope, axis=1)
    theta, phi = np.stack([c * u - b * v, a * v - b * u]) / (a * c - b * b)
    gamma = slope / own - at_model * theta[:, None] - at_length * phi[:, None]
    return np.concatenate([theta[:, None], phi[:, None], gamma], axis=1)
