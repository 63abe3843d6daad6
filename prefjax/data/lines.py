"""JSON-lines files as a stream of objects: what the bytes alone can get wrong is caught here, a line at a time."""

import gzip
import json
import math
import os
import re
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from prefjax.errors import DataError

MAX_LINE = 16 * 2**20  # bytes
MAX_DEPTH = 64
MAX_KEY = 256  # characters
BOMB_BYTES, BOMB_RATIO = 16 * 2**20, 200  # more than both of a gzip file is an attack, not text

Fixes = dict[str, tuple[int, int]]  # what was fixed -> (first line, how often)


class Problem(NamedTuple):
    """Something found in a file. `message` is a fixed phrase to count by, `detail` the particulars."""

    path: str
    line: int
    field: str  # the file's own name for it; "" where the whole line is meant
    kind: str  # refused | warned | fixed
    message: str
    detail: str = ""

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}: " + (f"{self.field}: " if self.field else "")
        return clean(where + self.message + (f": {self.detail}" if self.detail else ""))


class Refused(Exception):
    """A row that cannot be used: the field, a fixed phrase and its particulars."""

    def __init__(self, field: str, message: str, detail: str = ""):
        super().__init__(field, message, detail)
        self.field, self.message, self.detail = field, message, detail


def clean(text: str) -> str:
    """`text` with every character that could steer a terminal written as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def clean_lines(text: str) -> str:
    """The lines of `text`, each clean: what a model wrote may be printed so."""
    return "\n".join(map(clean, text.split("\n")))


def quote(text: str) -> str:
    """The start of a text taken from a file, fit to be shown in a message."""
    return repr(text if len(text) <= 40 else text[:39] + "…")


def note(fixes: Fixes, message: str, line: int) -> None:
    """Counts one more thing fixed."""
    first, count = fixes.get(message, (line, 0))
    fixes[message] = (first, count + 1)


def objects(path: str, fixes: Fixes) -> Iterator[tuple[int, dict[str, Any] | Refused]]:
    """The objects of a `.jsonl` or gzipped file, with their line numbers, in constant memory.

    A line that holds no usable object comes as the `Refused` that says why. Blank lines, a byte-order mark and CRLF
    line ends are removed and counted in `fixes`.

    Raises:
      DataError: the file cannot be read, or its gzip stream is cut short, damaged or a bomb.
    """
    for number, line in _raw_lines(path):
        if number == 1 and line.startswith(b"\xef\xbb\xbf"):
            line = line[3:]
            note(fixes, "byte-order mark removed", number)
        if line.endswith(b"\r\n"):
            note(fixes, "CRLF line ends read as LF", number)
        if not line.strip():
            note(fixes, "blank lines skipped", number)
            continue
        try:
            yield number, parse(line)
        except Refused as refusal:
            yield number, refusal


def _raw_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Numbered lines; of a line over `MAX_LINE` only its first `MAX_LINE + 1` bytes."""
    number = 0
    try:
        with open(path, "rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            if packed and _is_bomb(file):
                raise DataError(clean(f"{path}: gzip bomb: unpacks to over {BOMB_RATIO} times its size"))
            stream: BinaryIO = gzip.GzipFile(fileobj=file) if packed else file  # ty: ignore[invalid-assignment]
            while line := stream.readline(MAX_LINE + 1):
                number += 1
                last = line
                while len(last) > MAX_LINE and not last.endswith(b"\n"):
                    last = stream.readline(MAX_LINE + 1)
                yield number, line
    except EOFError:
        raise DataError(clean(f"{path}:{number + 1}: gzip stream cut short: copy the file again")) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(clean(f"{path}:{number + 1}: damaged gzip stream: {error}")) from None
    except OSError as error:
        raise DataError(clean(f"{path}: cannot be read: {error.strerror or error}")) from None


def _is_bomb(file: BinaryIO) -> bool:
    """Unpacks a gzip file up to the limit, keeping nothing: much faster than to meet it line by line."""
    limit = max(BOMB_BYTES, BOMB_RATIO * os.fstat(file.fileno()).st_size)
    stream, total = gzip.GzipFile(fileobj=file), 0
    try:
        while total <= limit and (part := stream.read(2**20)):
            total += len(part)
    except (EOFError, OSError, zlib.error):
        pass  # the reading meets it again and knows the line
    file.seek(0)
    return total > limit


def parse(line: bytes) -> dict[str, Any]:
    """The object on a line; raises Refused."""
    if len(line) > MAX_LINE:
        raise Refused("", "line too long", f"over {MAX_LINE} bytes")
    whole = line.endswith(b"\n")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        if not whole and error.reason == "unexpected end of data":
            raise Refused("", "last line cut", "it ends inside a character") from None
        raise Refused("", "invalid UTF-8", f"byte {error.start} of the line is 0x{line[error.start]:02x}") from None
    if (depth := _depth(text)) > MAX_DEPTH:
        raise Refused("", "nested too deeply", f"{depth} levels, at most {MAX_DEPTH}")
    try:
        row = _DECODER.decode(text.rstrip())
    except json.JSONDecodeError as error:
        message = "not JSON" if whole else "last line cut"
        raise Refused("", message, f"{error.msg} at column {error.colno}") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise Refused("", "not JSON", str(error)) from None
    if not isinstance(row, dict):
        raise Refused("", "not an object", kind_of(row))
    return row


_KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    type(None): "null",
}


def kind_of(value: Any) -> str:
    """The JSON type of a value, in words."""
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = {}
    for key, value in pairs:
        if len(key) > MAX_KEY:
            raise Refused(key[:39] + "…", "giant key", f"{len(key)} characters, at most {MAX_KEY}")
        if key in row:
            raise Refused(key, "duplicate key")
        _check_scalars(key, key)
        _check_scalars(key, value)
        row[key] = value
    return row


def _check_scalars(key: str, value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(key, "NaN or Infinity", "JSON has finite numbers only")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused(key, "lone surrogate", "half of a character, which no text can hold") from None
    if isinstance(value, list):
        for item in value:
            _check_scalars(key, item)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]')


def _depth(text: str) -> int:
    """How deeply a JSON text is nested, found before a recursive parser meets it; 0 where it cannot matter."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        deepest = max(deepest, depth)
    return deepest
