"""Why PPO and DPO are judged with a peaked reference: what becomes of them with a plain one, and what pairs can tell.

python -m experiments.closed_form.plain     # three minutes on two cores
"""

import numpy as np
from scipy import optimize

from experiments.closed_form import transformers
from experiments.closed_form.rows import Row, table
from prefjax.worlds import enumerable, exact

SPREADS = {"peaked": transformers.SPREAD, "plain": 8.0}  # the latter is what `enumerable.reference` makes


def main() -> None:
    rows = []
    for name, spread in SPREADS.items():
        rows += [row._replace(study=f"{name}: {row.study}") for row in told_by_pairs(spread)]
    rows += [*transformers.ppo(SPREADS["plain"], lr=3e-3), *transformers.dpo(SPREADS["plain"])]
    print(table(rows), end="")


def told_by_pairs(spread: float, count: int = 20_000) -> list[Row]:
    """The gap of the best policy for rewards that are estimated from judged pairs, with all there is to know of them.

    The estimate is the most likely one a posteriori, by the Bradley-Terry law that judged the pairs and the normal law
    that drew the rewards.
    """
    world, _, _, reference = transformers.peaked(spread)
    policies = []
    for seed in range(1, 1 + transformers.SEEDS):
        _, pairs, _ = enumerable.judged(world, reference, count, seed)
        rewards = most_likely(pairs, reference.shape[-1])
        policies.append(exact.optimum(reference, rewards[None], transformers.PRICE).policy)
    found = transformers.gaps(np.array(policies), reference, world.rewards, transformers.PRICE)
    return transformers.gap_rows("rewards from pairs", f"{count:,} judged pairs", found, 0.02)


def most_likely(pairs: np.ndarray, count: int) -> np.ndarray:
    """Rewards `[count]` of responses, of which pairs `[N, 2]` say: the first was preferred."""
    better, worse = pairs.T

    def loss(rewards):
        gaps = rewards[better] - rewards[worse]
        wrong, slope = 1 / (1 + np.exp(gaps)), rewards.copy()
        np.subtract.at(slope, better, wrong)
        np.add.at(slope, worse, wrong)
        return np.logaddexp(0, -gaps).sum() + rewards @ rewards / 2, slope

    return optimize.minimize(loss, np.zeros(count), jac=True, method="L-BFGS-B").x


if __name__ == "__main__":
    main()
