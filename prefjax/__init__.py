"""prefjax: preference tuning of language models in JAX, exact where it can be exact."""

__version__ = "0.1.0"
