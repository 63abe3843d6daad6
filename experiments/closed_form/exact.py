"""What needs no training: closed forms against their published or independently computed values."""

import jax.numpy as jnp
import numpy as np
from scipy import integrate, stats

from experiments.closed_form.rows import Row, printed
from prefjax.losses import dpo_loss
from prefjax.sampling.best_of_n import expected_gold, kl_bound, law
from prefjax.worlds import azar, bandit, exact, goodhart

_TILTED = {  # beta -> pi*, E r, KL, J*
    0.5: (0.24772, 0.02012, 0.73217, 1.71205, 0.72179, 1.35116),
    1.0: (0.43327, 0.09563, 0.47110, 1.37546, 0.23221, 1.14325),
    2.0: (0.49422, 0.17985, 0.32593, 1.14608, 0.06140, 1.02327),
}
_BEST = {2: (1.27, 0.15567, 0.19315), 4: (1.5823, 0.52175, 0.63629), 16: (1.97185, 1.45540, 1.83509)}
_BOUNDS = {2: 0.193147, 4: 0.636294, 8: 1.204442, 16: 1.835089, 64: 3.174508, 128: 3.859843, 1000: 5.908755}
_NORMAL = {2: 0.56419, 4: 1.02938, 16: 1.76599, 64: 2.34373}  # E max of n
_IPO = {
    ("D1", 0.1): (0.96437, 0.03440, 0.00123),
    ("D1", 0.5): (0.56274, 0.28892, 0.14834),
    ("D1", 1.0): (0.44844, 0.32132, 0.23024),
    ("D2", 0.1): (1 / 3, 1 / 3, 1 / 3),
    ("D3", 0.1): (1 / 3, 1 / 3, 1 / 3),
    ("D3 and (a, c)", 0.1): (0.49832, 0.49832, 0.00336),
    ("D3 and (a, c)", 0.5): (0.42232, 0.42232, 0.15536),
    ("D3 and (a, c)", 1.0): (0.38365, 0.38365, 0.23270),
}
_GOODHART = {  # beta -> KL, proxy, gold
    float("inf"): (0.0, 0.0, -1.3828),
    2.0: (0.3951, 1.5967, -0.7175),
    1.0: (1.4499, 3.0167, -0.3284),
    0.5: (4.3847, 5.0345, -0.2398),
    0.2: (10.8658, 7.1278, -1.2661),
}


def rows(seed: int = 0) -> list[Row]:
    """Every closed form; `seed` is of the samples on which the estimators are tried."""
    rng = np.random.default_rng(seed)
    return [*_tilted(), *_best_of_n(), *_estimator(rng), *_azar(), *_xu(), *_goodhart(), *_hackable()]


def _tilted():
    for beta, expected in _TILTED.items():
        best = exact.optimum(bandit.REFERENCE, bandit.REWARDS, beta)
        names = ("pi*(a)", "pi*(b)", "pi*(c)", "E r", "KL", "J*")
        for name, value, got in zip(names, expected, (*best.policy, best.reward, best.kl, best.value), strict=True):
            yield printed("tilted optimum", f"beta {beta}: {name}", value, float(got), 5)


def _best_of_n():
    for n, (reward, kl, bound) in _BEST.items():
        policy = law(bandit.REFERENCE, bandit.REWARDS, n)
        yield printed("best of n", f"n {n}: E r", reward, float(policy @ bandit.REWARDS), 5)
        yield printed("best of n", f"n {n}: KL", kl, float(exact.kl(policy, bandit.REFERENCE)), 5)
        yield printed("best of n", f"n {n}: bound on KL", bound, kl_bound(n), 5)
    for n, bound in _BOUNDS.items():
        yield printed("best of n", f"log n - (n - 1) / n, n {n}", bound, kl_bound(n), 6)
    for n, mean in _NORMAL.items():
        density = lambda x, n=n: x * n * stats.norm.pdf(x) * stats.norm.cdf(x) ** (n - 1)
        yield printed("best of n", f"E max of {n} normal rewards", mean, integrate.quad(density, -12, 12)[0], 5)


def _estimator(rng):
    values = expected_gold(np.arange(4), np.array([10, 20, 5, 1]))
    for n, (expected, got) in enumerate(zip((9, 5.5, 2, 1), values, strict=True), start=1):
        yield printed("best-of-n estimator", f"gold by proxy (10, 20, 5, 1), n {n}", expected, got, 6)
    gold = np.array([0.5, 2.0, -1.0])
    drawn = rng.choice(3, size=(20_000, 16), p=bandit.REFERENCE)
    for n in (1, 2, 4, 16):
        got = expected_gold(bandit.REWARDS[drawn], gold[drawn], [n])
        expected = law(bandit.REFERENCE, bandit.REWARDS, n) @ gold
        yield Row("best-of-n estimator", f"three arms, n {n}: 4 SE", float(expected), float(got.mean()), _errors(got))
    truth, noise = rng.normal(size=(2, 4000, 64))
    for n, mean in _NORMAL.items():
        got = expected_gold(truth + noise, truth, [n])  # s = t = 1
        expected = mean / np.sqrt(2)
        yield Row(
            "best-of-n estimator", f"normal gold and error, n {n}: 4 SE", expected, float(got.mean()), _errors(got)
        )


def _errors(samples):
    return float(4 * samples.std() / np.sqrt(samples.size))


def _azar():
    for (name, tau), expected in _IPO.items():
        got = azar.ipo_optimum(azar.DATASETS[name].pairs, tau)
        for arm, value, p in zip("abc", expected, got, strict=True):
            yield printed("IPO", f"{name}, tau {tau}: pi({arm})", value, p, 5)
    for tau in (0.1, 0.5, 1.0):
        expected = 1 / (1 + np.exp(-0.5 / tau))
        yield printed("IPO", f"two arms, tau {tau}", expected, azar.ipo_optimum(np.array([(0, 1)]), tau, arms=2)[0], 6)


def _xu():
    """Xu et al. 2024, table 1 (https://arxiv.org/abs/2404.10719): one pair over three arms, reference uniform."""
    arms, mask, beta = np.array([[0, 1]]), jnp.ones((1, 2, 1), bool), 0.5
    for a, b in ((0.1, 0.3), (0.45, 0.05), (0.1, 1e-12)):
        logps = bandit.logps(jnp.log(jnp.array([a, b, 1 - a - b])), arms)
        loss = dpo_loss(logps, bandit.logps(jnp.zeros(3), arms), mask, beta=beta)[0].value
        what = f"DPO loss with {1 - a - b:.2g} on the arm it never saw, b / a = {b / a:.2g}"
        yield Row("Xu's table 1", what, float(np.log1p((b / a) ** beta)), float(loss), 1e-6)
    unseen = exact.optimum(np.full(3, 1 / 3), np.array([0.5, -0.5, 0.0]), beta).policy[2]
    weight = 1 / (1 + 2 * np.cosh(0.5 / beta))
    yield printed("Xu's table 1", "PPO's optimum on the arm it never saw", weight, unseen, 6)


def _goodhart():
    for beta, expected in _GOODHART.items():
        for name, value, got in zip(("KL", "proxy", "gold"), expected, goodhart.optimum(beta), strict=True):
            yield printed("Goodhart", f"beta {beta}: {name}", value, got, 4)
    betas = np.geomspace(4, 0.1, 2000)
    peak = betas[np.argmax([goodhart.optimum(beta).gold for beta in betas])]
    yield printed("Goodhart", "gold at its peak", -0.1941, goodhart.optimum(peak).gold, 4)
    yield Row("Goodhart", "beta at the peak of gold", 0.63, float(peak), 0.005)
    points = [goodhart.best_of(2**i) for i in range(12)]
    golds = np.array([p.gold for p in points])
    yield Row("Goodhart", "log2 n at the peak of best-of-n's gold", 6.5, float(np.argmax(golds)), 0.5)
    yield printed("Goodhart", "gold of the best of 128", -0.0652, golds[7], 4)
    distance = np.sqrt([p.kl for p in points])
    yield Row("Goodhart", "R^2 of gold = d (a - b d), best-of-n", 0.997, _fit(distance, golds - golds[0]), 0.001)


def _fit(d, gains):
    """R^2 of the least-squares fit of Gao et al. 2022 (https://arxiv.org/abs/2210.10760), d = sqrt(KL)."""
    design = np.stack([d, -(d**2)], axis=1)
    left = gains - design @ np.linalg.lstsq(design, gains, rcond=None)[0]
    return float(1 - np.sum(left**2) / np.sum((gains - gains.mean()) ** 2))


def _hackable():
    base = np.array([0.0, 1.0, 5.0])
    for what, first, second, expected in (
        ("r2 = 3 r1 + 1", base, 3 * base + 1, 0),
        ("r1 = (1, 0), r2 = (0, 1)", np.array([1.0, 0.0]), np.array([0.0, 1.0]), 1),
    ):
        yield Row("hackable (Skalse)", what, expected, float(exact.hackable(first, second)), 0.0)
