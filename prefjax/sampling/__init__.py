"""Sampling from a model."""

from prefjax.sampling.generate import generate as generate
