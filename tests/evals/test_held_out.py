"""Rows that are held out are those of the training."""

import pytest

from prefjax import models
from prefjax.errors import ConfigError
from prefjax.evals import held_out


def test_rows_of_other_attributes_than_the_model_judges_are_refused(tiny):
    run, _ = tiny
    run = run._replace(nets={"policy": models.judging(run.nets["policy"], ("fact", "warmth"))})
    source = "prefjax.worlds.desk:pairs(split='validation', n=8, label='attributes')"
    for rows in ("attributes(names=('warmth', 'fact'))", "pairs()"):
        with pytest.raises(ConfigError, match="attributes and their order should be those of"):
            held_out.make(run, source=source, rows=rows, allow_overlap=True)
