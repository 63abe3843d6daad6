"""Exact, generated tasks: small worlds in which the truth about every prompt and answer is known.

`desk` is an assistant's world in words. The others are smaller still, and their best policies have closed forms, which
training has to reach: `bandit`, `azar`, `enumerable` (every response of a transformer) and `goodhart`.
"""
