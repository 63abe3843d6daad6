"""Rewards: what a completion is worth, as one function of sequences on the device.

`config.reward` is a call string of this package, "model()", or a weighted sum of them, "model() + 0.2 * length(...)".
Each is a function (run: Context, *, settings) -> score, where

    score(frozen, sequences, ids) -> [B] float32

of rows `[B, T]`; `ids` `[B]` are the indices of the records that the rows answer. NaN says that a row has no score.
"""

from prefjax.rewards.compose import Context as Context
from prefjax.rewards.compose import Score as Score
from prefjax.rewards.compose import make as make
from prefjax.rewards.functions import ensemble as ensemble
from prefjax.rewards.functions import length as length
from prefjax.rewards.functions import model as model
from prefjax.rewards.functions import overlong as overlong
from prefjax.rewards.functions import text as text
