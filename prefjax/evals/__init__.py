"""Evaluations: modules with a `make(run, ...) -> (state, frozen, key) -> {name: value}`, named by `config.evals`.

What an evaluation returns under "samples" is a list of rows for samples.jsonl; all else are numbers.
"""
