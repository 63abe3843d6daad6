"""`prefjax label`: people judge the answers of a file on a page of this machine."""

import argparse
import hashlib
import json
from pathlib import Path

from prefjax.cli.parsers import fields, parser
from prefjax.errors import ConfigError, DataError, Interrupted


def main(argv: list[str]) -> None:
    flags = parser("label", "Shows blind pairs of answers on a page of this machine, and records what people prefer.")
    flags.add_argument("file", nargs="?", help="pairs or rankings: what `prefjax check` reads")
    flags.add_argument("--guideline", metavar="FILE", help="what annotators are asked to prefer, in Markdown")
    flags.add_argument("--annotator", metavar="NAME", help="who judges; it goes into every line")
    flags.add_argument("--out", required=True, help="JSON lines, which pairs(path=...) reads; the same command goes on")
    flags.add_argument("--scale", default="binary", help="binary (A, B or a tie), graded (7 levels) or ranked")
    flags.add_argument("--field", action="append", default=[], metavar="OURS=THEIRS", help="chosen=answer_a")
    flags.add_argument("--layout", default="pairs", help="pairs, or a reader such as hh")
    flags.add_argument("--bad_rows", type=int, default=0, help="rows that may be refused")
    flags.add_argument("--limit", type=int, help="the first so many records of the file")
    flags.add_argument("--seed", type=int, default=0, help="draws the order of records and of their answers")
    flags.add_argument("--overlap", type=int, help="annotators that a record needs; without it all judge all")
    flags.add_argument("--others", action="append", default=[], metavar="FILE", help="other annotators' --out")
    flags.add_argument("--port", type=int, default=0, help="by default one that is free")
    flags.add_argument("--merge", nargs="+", metavar="FILE", help="instead of a page: judgements, to pairs with votes")
    options = flags.parse_args(argv)
    if options.merge:
        return merged(options)
    for name, value in {"PAIRS": options.file, **{n: getattr(options, n) for n in ("guideline", "annotator")}}.items():
        if not (value or "").strip():
            given = name if name == "PAIRS" else f"--{name}={'FILE' if name == 'guideline' else 'NAME'}"
            raise ConfigError(f"{given} is needed: prefjax label PAIRS --guideline=FILE --annotator=NAME --out=FILE")
    if options.overlap is not None and options.overlap < 1:
        raise ConfigError(f"--overlap is {options.overlap}; it should be 1 or more")
    return sitting(options)


def sitting(options: argparse.Namespace) -> None:
    """Serves the page until it says stop, or a signal does."""
    from prefjax import interrupt
    from prefjax.data.lines import clean
    from prefjax.label.items import items
    from prefjax.label.markdown import render
    from prefjax.label.server import serve
    from prefjax.label.session import Session
    from prefjax.label.store import opened

    text = guideline(options.guideline)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    given = fields(options.field)
    found, again = items(
        options.file, options.scale, options.layout, bad_rows=options.bad_rows, limit=options.limit, **given
    )
    annotator, out = options.annotator.strip(), Path(options.out)
    unread(out, [options.file, options.guideline])
    with opened(out, annotator, options.scale) as store:
        before = {r["meta"].get("guideline") for r in store.earlier if str(r["annotator"]) == annotator}
        knobs = {"seed": options.seed, "overlap": options.overlap, "others": options.others, "guideline": digest}
        session = Session(found, store, annotator, options.scale, **knobs)
        server, address = serve(session, render(text), options.port)
        left = session.state()["left"]
        if again:
            print(f"{again} records come again in {clean(options.file)}: shown once")
        if before - {digest}:
            print(f"{clean(options.guideline)} is not the guideline of all earlier judgements; each line says its own")
        print(f"{left} of {len(found)} to judge, into {clean(str(out))}. Open\n  {address}", flush=True)
        try:
            with interrupt.handled():
                server.serve_forever(poll_interval=0.1)
        except Interrupted as error:
            number = error.exit_code - 128
            raise Interrupted(number, f"after {len(session.done)} judgements, all saved") from None
        finally:
            server.server_close()
        print(f"{len(session.done)} judgements in this sitting; {session.state()['left']} to go, by the same command")


def guideline(path: str) -> str:
    """The text of the guideline; raises DataError where there is none."""
    try:
        text = Path(path).expanduser().read_text("utf-8")
    except OSError as error:
        raise DataError(f"--guideline={path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"--guideline={path}: not UTF-8 at byte {error.start}") from None
    if not text.strip():
        raise DataError(f"--guideline={path}: empty: annotators have to know what to prefer")
    return text


def unread(out: Path, patterns: list[str]) -> None:
    """Raises ConfigError where what is to be written would replace what is read."""
    from prefjax.data.files import files

    if out.exists() and any(out.samefile(path) for pattern in patterns for path in files(pattern)):
        raise ConfigError(f"--out={out}: would be written over; give a file of its own")


def merged(options: argparse.Namespace) -> None:
    """Writes the judgements of several annotators as pairs with votes."""
    from prefjax import files
    from prefjax.data.lines import clean
    from prefjax.label.merge import merge
    from prefjax.label.store import holds

    out = Path(options.out)
    unread(out, options.merge)
    if out.exists() and holds(out):
        raise ConfigError(f"--out={clean(str(out))}: holds judgements; what is merged needs a file of its own")
    found = merge(options.merge)
    files.write(out, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in found.pairs))
    several = sum(sum(record["votes"]) > 1 for record in found.pairs)
    print(f"{len(found.pairs)} pairs in {clean(str(out))}, {several} with the votes of several annotators", end="")
    print(f"; {found.repeated} judged again by the same one: the last counts" if found.repeated else "")
    if found.agreement:
        mean, low, high = found.agreement
        print(f"agreement: alpha {mean:.2f} [{low:.2f}, {high:.2f}], {len(found.annotators)} annotators")
