"""Judges: which of two answers to a prompt is better, by one protocol.

    judge(prompt, a, b) -> "A" | "B" | "tie" | "invalid"

A call string names one: "my.module:judge" is such a function; a bare name is a module of this package whose
`make(records, ...)` gives one: "gold(function='my.module:score')", "url(base_url='http://127.0.0.1:8000/v1',
model='m')", "labels(path='labels.csv')". A judge is asked in both orders, by `compare`.
"""

from prefjax.judges.comparing import VERDICTS as VERDICTS
from prefjax.judges.comparing import Comparison as Comparison
from prefjax.judges.comparing import Judge as Judge
from prefjax.judges.comparing import compare as compare
from prefjax.judges.comparing import compare_all as compare_all
from prefjax.judges.comparing import concurrently as concurrently
from prefjax.judges.comparing import make as make
