"""Prompts that are nearly those of another set: exact Jaccard similarity of word triples, sought by MinHash."""

import re
import zlib

import numpy as np

_WORD = re.compile(r"\w+")
_BANDS, _ROWS = 16, 4  # at a similarity of .8 a pair shares a band with probability 1 - (1 - .8**4)**16 = .9998
_CROWD = 64  # a band that more prompts share is a template's: what they differ in lies in other bands
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
    """An index of prompts, in about 4 bytes a word and a kilobyte a prompt."""

    def __init__(self, threshold: float = 0.8, seed: int = 0):
        """Args: `threshold`, of the similarity from which on two prompts are nearly the same."""
        self.threshold = threshold
        rng = np.random.default_rng(seed)
        self.factors = rng.integers(1, int(_PRIME), (_BANDS * _ROWS, 1), np.uint64)
        self.shifts = rng.integers(0, int(_PRIME), (_BANDS * _ROWS, 1), np.uint64)
        self.sets: list[np.ndarray] = []
        self.bands: dict[tuple[int, bytes], list[int]] = {}

    def add(self, text: str) -> None:
        """Adds a prompt, by its normalised text; they are numbered from 0."""
        held = shingles(text)
        for band in self._bands(held):
            self.bands.setdefault(band, []).append(len(self.sets))
        self.sets.append(held)

    def like(self, text: str) -> list[int]:
        """The numbers of the prompts that a text is nearly the same as."""
        held = shingles(text)
        crowds = (self.bands.get(band, []) for band in self._bands(held))
        candidates = {number for crowd in crowds if len(crowd) <= _CROWD for number in crowd}
        return sorted(number for number in candidates if jaccard(held, self.sets[number]) >= self.threshold)

    def _bands(self, held: np.ndarray) -> list[tuple[int, bytes]]:
        least = ((held.astype(np.uint64) % _PRIME * self.factors + self.shifts) % _PRIME).min(axis=1)
        return [(i, band.tobytes()) for i, band in enumerate(least.astype(np.uint32).reshape(_BANDS, _ROWS))]
