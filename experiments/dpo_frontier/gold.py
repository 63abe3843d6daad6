"""The gold reward: how sure a logistic regression on the words of labelled reviews is that a text praises.

It needs scikit-learn: pip install 'prefjax[sklearn]'.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.dpo_frontier.data import rows


def fit(path: Path) -> float:
    """Fits the classifier on the train reviews, writes it to `path` (.npz); its accuracy on the test reviews."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    (texts, labels), (held_out, truth) = (_labelled(split) for split in ("train", "test"))
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=5, sublinear_tf=True)
    model = LogisticRegression().fit(vectorizer.fit_transform(texts), labels)
    np.savez(
        path,
        terms=vectorizer.get_feature_names_out().astype(str),
        idf=vectorizer.idf_,
        weights=model.coef_[0],
        bias=model.intercept_[0],
    )
    return float(np.mean((log_odds(held_out, path) > 0) == truth))


def log_odds(texts: Sequence[str], path: str | Path) -> np.ndarray:
    """Log-odds `[B]` that a text praises, by the classifier in `path`."""
    vectorizer, weights, bias = _read(str(path))
    return vectorizer.transform(texts) @ weights + bias


def judge(records: Sequence[dict[str, Any]], texts: Sequence[str], *, path: str) -> dict[str, np.ndarray]:
    """For `samples` and for rewards: the probability that a beginning with its completion praises."""
    whole = [record["prompt"] + text for record, text in zip(records, texts, strict=True)]
    return {"gold": 1 / (1 + np.exp(-log_odds(whole, path)))}


@functools.cache
def _read(path: str) -> tuple[Any, np.ndarray, float]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    with np.load(path) as stored:
        terms, idf, weights, bias = (stored[name] for name in ("terms", "idf", "weights", "bias"))
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, vocabulary=terms)
    vectorizer.idf_ = idf
    return vectorizer, weights, float(bias)


def _labelled(split: str) -> tuple[list[str], np.ndarray]:
    """Reviews and whether each praises."""
    found = rows(split)
    return [row["text"] for row in found], np.array([row["label"] == 1 for row in found])
