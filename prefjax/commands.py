"""What `prefjax best-of-n` and `prefjax pairs` do, as functions of their flags."""

import functools
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from statistics import median
from typing import Any

import jax
import numpy as np

from prefjax import checkpoint, judges, rewards
from prefjax.data import load
from prefjax.data.lines import clean, clean_lines
from prefjax.data.records import Record, field_map, scan
from prefjax.errors import ConfigError, DataError
from prefjax.evals.best_of_n import curve, sizes, table
from prefjax.files import redact
from prefjax.sampling import pairs as labelled
from prefjax.sampling.best_of_n import kl_bound
from prefjax.sampling.candidates import Candidates, Scorer, best, group, scored, usable
from prefjax.sums import is_calls

SAMPLING = ("n", "max_new", "temperature", "top_k", "top_p", "batch_size")


def best_of_n(options: Any) -> None:
    """Samples, scores, writes what is kept, and prints what the best of every n up to N is worth."""
    if options.keep == "above" and options.threshold is None:
        raise ConfigError("--keep=above needs --threshold=SCORE")
    records = prompts(options)
    calls = {"score": options.reward} | ({"gold": options.gold} if options.gold else {})
    complete = completions(options, calls)
    with lines(options.out) as write:
        seconds, batches = [], []
        for batch in timed(complete(records), seconds):
            batches.append(batch)
        found, dropped = group(batches, options.n), Counter()
        rows = [row for c in found for row in demonstrations(c, records[c.record], options, dropped)]
        if not rows:
            raise DataError(f"nothing to keep of {len(found) * options.n} completions{told(dropped)}")
        write(rows)
    report(found, records, latencies(complete, records, options.n) if options.times else {})
    print(f"{per_query(seconds, [len(batch) for batch in batches], options.n)} a prompt at n = {options.n}")
    if options.out:
        print(f"{len(rows)} of {len(found) * options.n} completions in {options.out}{told(dropped)}")
    else:
        for row in rows:
            print(f"\n> {clean(str(row['prompt']))}\n[{row['score']:.3f}] {clean_lines(row['response'])}")


def demonstrations(found: Candidates, record: Record, options: Any, dropped: Counter[str]) -> list[dict[str, Any]]:
    """What is kept of a prompt's completions: the best, or all from the threshold on."""
    among = usable(found, dropped, cut=not options.finished, blank=not options.finished)
    if options.keep == "above":
        kept = [at for at in among if found.scores["score"][at] >= options.threshold]
    else:
        kept = [best(found, among)] if among else []
    scores = {name: [None if math.isnan(v) else v for v in values.tolist()] for name, values in found.scores.items()}
    about = {"n": options.n, "scores": scores["score"], "lengths": [answer.length for answer in found.answers]}
    if options.keep == "best":
        about["kl_bound"] = kl_bound(options.n)
    if options.texts:
        about["texts"] = [answer.text for answer in found.answers]
    return [
        {field: record[field] for field in labelled.KEPT if field in record}
        | {"response": found.answers[at].text, "stopped": found.answers[at].stopped}
        | {name: values[at] for name, values in scores.items()}
        | about
        for at in kept
    ]


def report(found: Sequence[Candidates], records: Sequence[Record], seconds: Mapping[int, float]) -> None:
    """Prints the table over n; prompts with a completion that has no score are left out, and counted."""
    whole = [c for c in found if all(np.isfinite(values).all() for values in c.scores.values())]
    if whole:
        scores = {name: np.stack([c.scores[name] for c in whole]) for name in whole[0].scores}
        lengths = np.array([[answer.length for answer in c.answers] for c in whole], np.float64)
        print(table(curve(scores, lengths, [json.dumps(records[c.record]["prompt"]) for c in whole]), seconds))
    if len(whole) < len(found):
        print(f"{len(found) - len(whole)} of {len(found)} prompts have completions without a score: not in the table")


def latencies(complete: Callable, records: list[Record], most: int, queries: int = 8) -> dict[int, float]:
    """Seconds from a prompt to its `n` scored completions when nothing else is asked, for each of `sizes(most)`.

    The median over the first prompts, again from the first if there are few; the query that compiles is left out.
    """
    asked, found = list(islice(cycle(records), 1 + queries)), {}
    for n in sizes(most):
        seconds: list[float] = []
        for _ in timed(complete(asked, n=n, batch_size=n), seconds):
            pass
        found[n] = median(seconds[1:])
    return found


def pairs(options: Any) -> None:
    """Writes preference pairs: of the policy's completions, labelled, or of a file of texts and their rewrites."""
    counts: Counter[str] = Counter()
    with lines(options.out) as write:
        rows = list(rewrites(options, counts) if options.rewrites else sampled(options, counts))
        what = "rankings" if options.ranking else "pairs"
        if not rows:
            raise DataError(f"no {what}{told(counts)}")
        write(rows)
    print(f"{len(rows)} {what} in {options.out}{told(counts)}")


def sampled(options: Any, counts: Counter[str]) -> Iterator[Record]:
    """Pairs of the policy's completions."""
    if bool(options.label) == bool(options.judge):
        raise ConfigError("give --label=REF_OR_CALL, a reward, or --judge=CALL, a function (prompt, a, b) -> verdict")
    if options.n < 2:
        raise ConfigError(f"--n is {options.n}; a pair needs 2 or more")
    records = prompts(options)
    judge = judges.make(options.judge, records) if options.judge else None
    origin = {"model": checkpoint.pin(options.model), "label": redact(options.label or options.judge)}
    origin |= {name: getattr(options, name) for name in ("n", "temperature", "top_k", "top_p", "seed")}
    calls = {"score": options.label} if options.label else {}
    knobs: dict[str, Any] = {"origin": origin, "judge": judge, "ranking": options.ranking, "cut": options.cut}

    def labelling(found: Candidates) -> tuple[Record | None, Counter[str]]:
        own: Counter[str] = Counter()
        return labelled.make(found, records[found.record], own, **knobs), own

    for row, own in judges.concurrently(judge, labelling, group(completions(options, calls)(records), options.n)):
        counts.update(own)
        if row:
            yield row


def rewrites(options: Any, counts: Counter[str]) -> Iterator[Record]:
    """Pairs of a file whose rows hold a text and a better version of it."""
    fields = {"chosen": "good", "rejected": "bad"} | options.fields
    refused = []
    for row in scan(options.rewrites, field_map(**fields)):
        problems = [problem for problem in row.problems if problem.kind == "refused"]
        counts["identical"] += sum(problem.message == "chosen equals rejected" for problem in problems)
        refused += [problem for problem in problems if problem.message != "chosen equals rejected"]
        if row.record:
            yield row.record
    if refused:
        raise DataError(f"{len(refused)} rows refused, such as {refused[0]}; prefjax check lists all of them")


def normalize(options: Any) -> None:
    """Scores samples of a reference policy, and stores their mean and standard deviation with the reward model."""
    records, reward = prompts(options), checkpoint.pin(options.reward)
    origin = {"policy": checkpoint.pin(options.model), "source": options.source, "seed": options.seed}
    batches = completions(options, {"score": reward}, moments=False)(records)
    scores = np.array([score["score"] for batch in batches for _, score in batch])
    mean, std = float(scores.mean()), float(scores.std())
    if not std > 0:
        raise DataError(f"all {scores.size} completions have the reward {mean}: there is nothing to normalise by")
    file = checkpoint.save_moments(reward, mean, std, origin | {"samples": scores.size})
    print(f"{scores.size} samples: mean {mean:.4f}, standard deviation {std:.4f}; in {file}")


def prompts(options: Any) -> list[Record]:
    """The records to complete."""
    if options.temperature == 0:
        raise ConfigError("temperature is 0.0, which makes all completions of a prompt the same; it should be above 0")
    records = [{"prompt": prompt} for prompt in options.prompt]
    records += load.records(options.source) if options.source else []
    if not records:
        raise ConfigError("nothing to complete: give --prompt=TEXT or --source=CALL")
    return records


def completions(options: Any, calls: dict[str, str], *, moments: bool = True) -> Callable[..., Iterator[Any]]:
    """A function (records, **other settings) -> batches of completions, scored by the rewards that flags name.

    The models are read once; scores are normalised where a reward model has `moments`.
    """
    tokenizer, knobs = load.tokenizer(options.model), {name: getattr(options, name) for name in SAMPLING}
    read = functools.cache(functools.partial(checkpoint.load, moments=moments))
    model, params = read(options.model)

    def complete(records: list[Record], **others: Any) -> Iterator[Any]:
        scorers = {name: scorer(call, name, options.frozen, read, tokenizer, records) for name, call in calls.items()}
        return scored(model, params, tokenizer, records, jax.random.key(options.seed), scorers, **knobs | others)

    return complete


def scorer(
    text: str, name: str, frozen: dict[str, str], read: Callable, tokenizer: Any, records: list[Record]
) -> Scorer:
    """A reward as a flag names it: a reward model by its reference, or a call with the models of `frozen`."""
    if not is_calls(text):
        text, frozen = f"model(name={name!r})", {name: text}
    loaded = {name: read(reference) for name, reference in frozen.items()}
    nets, params = ({name: pair[i] for name, pair in loaded.items()} for i in (0, 1))
    for other, net in nets.items():
        if tokenizer.vocab_size > net.config.vocab:
            raise ConfigError(
                f"the tokenizer of the policy has {tokenizer.vocab_size} ids and the model {frozen[other]} knows "
                f"{net.config.vocab}: they should have one tokenizer"
            )
    score = rewards.make(text, nets, tokenizer, lambda: records)
    return lambda sequences, ids: score(params, sequences, ids)[0]


def timed(batches: Iterable[Any], seconds: list[float]) -> Iterator[Any]:
    """The batches, and in `seconds` how long each took."""
    start = time.perf_counter()
    for batch in batches:
        seconds.append(time.perf_counter() - start)
        yield batch
        start = time.perf_counter()


def per_query(seconds: list[float], sizes: list[int], n: int) -> str:
    """Seconds for `n` completions; the first batch, which compiles, is left out where there are others."""
    rest = slice(1, None) if len(seconds) > 1 else slice(None)
    told = "" if len(seconds) > 1 else ", compilation included,"
    return f"{sum(seconds[rest]) * n / sum(sizes[rest]):.3f} seconds{told}"


def told(counts: Counter[str]) -> str:
    """What was left out, in words."""
    return "".join(f"; {count} {reason}" for reason, count in counts.items() if count)


@contextmanager
def lines(path: str | None) -> Generator[Callable[[list[dict[str, Any]]], None]]:
    """A function that writes JSON lines: the file is opened before the work, and gets its name when it is whole."""
    if not path:
        yield lambda rows: None
        return
    try:
        file = open(f"{path}.part", "w")  # noqa: SIM115
    except OSError as error:
        raise ConfigError(f"--out={path}: {error.strerror}") from None
    try:
        with file:
            yield lambda rows: file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        os.replace(f"{path}.part", path)
    finally:
        if os.path.exists(f"{path}.part"):
            os.remove(f"{path}.part")
