"""Algorithms: modules with a `make(config, models) -> Algorithm`, named by `config.algorithm`."""
