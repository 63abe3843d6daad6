"""Prompts that are nearly those of another set: exact Jaccard similarity of word triples, sought by MinHash."""

import re
import zlib
from collections.abc import Iterable

import numpy as np

_WORD = re.compile(r"\w+")
NEAR = 0.8  # from this similarity on two prompts are nearly the same
# At .8 a hash is equal with probability .8: of 128 fewer than 83 are in two of a hundred thousand cases.
_HASHES, _EQUAL = 128, 83
_PRIME = np.uint64(2**31 - 1)


def shingles(text: str) -> np.ndarray:
    """The distinct triples of consecutive words of a text as sorted 32-bit hashes; of a shorter text, all of it."""
    words = _WORD.findall(text)
    triples = zip(words, words[1:], words[2:], strict=False) if len(words) > 3 else [words]
    return np.unique(np.fromiter((zlib.crc32(" ".join(t).encode()) for t in triples), np.uint32))


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """The share of what two sorted sets hold together that both hold."""
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


class Near:
    """An index of prompts, in about 4 bytes a word and 128 a prompt."""

    def __init__(self, texts: Iterable[str]):
        """Takes the normalised texts of the prompts; they are numbered from 0."""
        rng = np.random.default_rng(0)
        self.factors, self.shifts = rng.integers(1, int(_PRIME), (2, _HASHES, 1), np.uint64)
        self.sets = [shingles(text) for text in texts]
        self.least = np.hstack([np.empty((_HASHES, 0), np.uint8), *map(self._least, self.sets)])

    def like(self, text: str) -> list[int]:
        """The numbers of the prompts that a text is nearly the same as."""
        held = shingles(text)
        likely = np.flatnonzero((self.least == self._least(held)).sum(0, np.uint8) >= _EQUAL)
        return [int(number) for number in likely if jaccard(held, self.sets[number]) >= NEAR]

    def _least(self, held: np.ndarray) -> np.ndarray:
        """The smallest value of each hash function over a set, of it the last 8 bits, [_HASHES, 1]."""
        hashed = (held.astype(np.uint64) % _PRIME * self.factors + self.shifts) % _PRIME
        return hashed.min(axis=1, keepdims=True).astype(np.uint8)
