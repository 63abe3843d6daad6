"""Text to token ids and back, from the tokenizer files of a Hugging Face folder."""

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import tokenizers
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prefjax.data.lines import clean
from prefjax.errors import ConfigError, DataError

Prompt = str | list[dict[str, str]]

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"  # noncharacters: no text may hold them


class Encoded(NamedTuple):
    """A prompt and the response to it; `apart` where a merge across their boundary had to be avoided."""

    prompt: list[int]
    response: list[int]  # ends in the one eos
    apart: bool


class Tokenizer:
    """A fast tokenizer with its special tokens and chat template; ids and renderings equal those of transformers.

    The names of special tokens inside a prompt or a response are encoded as plain text: only the chat template and
    `encode(text)` write special tokens.
    """

    def __init__(self, files: dict[str, bytes], name: str = "tokenizer"):
        """Args: `files`, the contents of those of `FILES` that exist; `name`, where they came from, for messages."""
        self.files, self.name = files, name
        if "tokenizer.json" not in files:
            raise ConfigError(f"{name}: no tokenizer.json; a folder written by save_pretrained has one")
        try:
            settings = {file: json.loads(content) for file, content in files.items() if file in FILES[1:3]}
            self._text = files["tokenizer.json"].decode()
            self._tok = tokenizers.Tokenizer.from_str(self._text)
        except Exception as error:  # the library raises bare Exception on a malformed file
            raise ConfigError(f"{name}: malformed tokenizer files: {error}") from None
        config = settings.get("special_tokens_map.json", {}) | settings.get("tokenizer_config.json", {})
        self._named = {role: _content(config[role]) for role in _ROLES if config.get(role)}
        self._template = _chat_template(files, config)
        eos_id, self.bos_id, pad_id = (self._id(role) for role in _ROLES[:3])
        if eos_id is None:
            raise ConfigError(f"{name}: no eos_token in tokenizer_config.json: nothing could end a response")
        self.eos_id: int = eos_id
        self.pad_id: int = eos_id if pad_id is None else pad_id
        _prepare(self._tok, self._named)
        added = self._tok.get_added_tokens_decoder()
        self.specials = {token.content: i for i, token in added.items() if token.special}
        self.special_text = re.compile("|".join(map(re.escape, sorted(self.specials, key=len, reverse=True))))
        self._numbers = list(self.specials)
        self._prefix = self._start(config.get("add_bos_token"))

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        folder = Path(folder)
        return cls({name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}, str(folder))

    def save(self, folder: str | Path) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (Path(folder) / name).write_bytes(content)

    @property
    def vocab_size(self) -> int:
        return self._tok.get_vocab_size()

    @property
    def ids(self) -> dict[str, int]:
        """Its special tokens as a Hugging Face config names them."""
        return {"eos_token_id": self.eos_id, "pad_token_id": self.pad_id} | (
            {} if self.bos_id is None else {"bos_token_id": self.bos_id}
        )

    @cached_property
    def digest(self) -> str:
        """sha256 over the names and contents of the files."""
        parts = [f"{name} {hashlib.sha256(content).hexdigest()}" for name, content in sorted(self.files.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Ids of a text: with the tokenizer's bos and special tokens recognised by name, or as plain text alone."""
        return [*self._prefix, *self._encode(text)] if special else self._encode(self._hide(text))

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """Text of ids, without the special tokens unless `special`."""
        return self._tok.decode([int(i) for i in ids], skip_special_tokens=not special)

    def render(self, messages: list[dict[str, str]], generation_prompt: bool = False) -> str:
        """The text of a conversation by the chat template; with `generation_prompt` ready for the assistant's turn."""
        if self._template is None:
            raise ConfigError(f"{self.name}: no chat template, which prompts of messages need; give prompts as text")
        try:
            return self._template.render(
                messages=messages, tools=None, documents=None, add_generation_prompt=generation_prompt, **self._named
            )
        except (jinja2.TemplateError, TypeError, KeyError, ValueError) as error:
            raise DataError(clean(f"{self.name}: the chat template refuses a conversation: {error}")) from None

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """Ids of what a model is given to answer.

        A text is one user's turn where there is a chat template, and else the text as it is after the tokenizer's bos.
        """
        return [*self._begin, *self._encode(self._head(prompt))]

    def encode_response(self, prompt: Prompt, response: str) -> Encoded:
        """Ids of a prompt and of a response to it, tokenised together so that merges are those of running text.

        Where a merge would cross their boundary the response is tokenised on its own, as a model that is given the
        prompt's tokens would write it. The response ends in exactly one eos: the template's own, and what the template
        writes after it is left out, or else one is appended.
        """
        head = self._head(prompt)
        if self._template is None:
            whole = head + self._hide(response)
        else:
            turns = [*self._hidden(prompt), {"role": "assistant", "content": self._hide(response)}]
            whole = self.render(turns)
            if not whole.startswith(head):
                raise ConfigError(f"{self.name}: the chat template does not continue its own generation prompt")
        start, full = self._encode(head), self._encode(whole)
        apart = full[: len(start)] != start
        tail = self._continue(start, full, whole[len(head) :]) if apart else full[len(start) :]
        tail = tail[: tail.index(self.eos_id)] if self.eos_id in tail else tail
        return Encoded([*self._begin, *start], [*tail, self.eos_id], apart)

    def encode_text(self, text: str) -> Encoded:
        """Ids of a text to learn whole: all but its first token, which nothing predicts, is response."""
        ids = [*self._prefix, *self._encode(self._hide(text)), self.eos_id]
        start = max(len(self._prefix), 1)
        return Encoded(ids[:start], ids[start:], False)

    def _id(self, role: str) -> int | None:
        if role not in self._named:
            return None
        token = self._tok.token_to_id(self._named[role])
        if token is None:
            raise ConfigError(f"{self.name}: {role} {self._named[role]!r} is not in tokenizer.json")
        return token

    def _start(self, add_bos: bool | None) -> list[int]:
        """What the tokenizer writes before a text: as its configuration says, else as its post-processor does."""
        if add_bos is not None:
            return [self.bos_id] if add_bos and self.bos_id is not None else []
        encoding = self._tok.encode("a")
        return encoding.ids[: encoding.special_tokens_mask.index(0)]

    @property
    def _begin(self) -> list[int]:
        return [] if self._template else self._prefix  # a template writes its own bos

    def _head(self, prompt: Prompt) -> str:
        if isinstance(prompt, str) and self._template is None:
            return self._hide(prompt)
        return self.render(self._hidden(prompt), generation_prompt=True)

    def _hidden(self, prompt: Prompt) -> list[dict[str, str]]:
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        return [turn | {"content": self._hide(turn["content"])} for turn in turns]

    def _hide(self, text: str) -> str:
        """`text` with the names of special tokens replaced by marks, so that a template cannot bring them to life."""
        text = text.replace(_OPEN, "\ufffd").replace(_CLOSE, "\ufffd")
        return self.special_text.sub(lambda match: f"{_OPEN}{self._numbers.index(match[0])}{_CLOSE}", text)

    def _show(self, text: str) -> str:
        return re.sub(f"{_OPEN}([0-9]+){_CLOSE}", lambda match: self._numbers[int(match[1])], text)

    def _encode(self, text: str) -> list[int]:
        """Ids of a text in which the names of special tokens mean the tokens, and hidden ones their plain text."""
        if _OPEN not in text:
            return self._tok.encode(text, add_special_tokens=False).ids
        ids = []
        for piece in re.split(f"({self.special_text.pattern})", text):
            if piece in self.specials:
                ids.append(self.specials[piece])
            elif piece:
                ids += self._plain.encode(self._show(piece), add_special_tokens=False).ids
        return ids

    def _continue(self, start: list[int], full: list[int], text: str) -> list[int]:
        """Ids of a text that goes on after `start`, spelling with it the text of `full`.

        Some tokenizers write a space before any text; behind a line break, taken away again, they do not.
        """
        anchor, alone = self._encode("\n"), self._encode(text)
        behind = self._encode("\n" + text)
        goal = self.decode(full, special=True)
        if behind[: len(anchor)] == anchor and self.decode(start + behind[len(anchor) :], special=True) == goal:
            return behind[len(anchor) :]
        return alone

    @cached_property
    def _plain(self) -> tokenizers.Tokenizer:
        """The same tokenizer, to which the names of special tokens are plain text."""
        plain = tokenizers.Tokenizer.from_str(self._text)
        _prepare(plain, self._named)
        plain.encode_special_tokens = True
        return plain


_ROLES = ("eos_token", "bos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")


def _content(token: Any) -> str:
    return token["content"] if isinstance(token, dict) else token


def _prepare(tok: tokenizers.Tokenizer, named: dict[str, str]) -> None:
    """Undoes a saved truncation or padding, and marks the named tokens as special."""
    tok.no_truncation()
    tok.no_padding()
    known = {token.content for token in tok.get_added_tokens_decoder().values() if token.special}
    tok.add_special_tokens([text for text in named.values() if text not in known and tok.token_to_id(text) is not None])


def _chat_template(files: dict[str, bytes], config: dict[str, Any]) -> jinja2.Template | None:
    source = config.get("chat_template")
    if isinstance(source, list):  # several, by name
        source = {entry["name"]: entry["template"] for entry in source}.get("default")
    if "chat_template.jinja" in files:
        source = files["chat_template.jinja"].decode()
    if not source:
        return None
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _GenerationBlock]
    )
    environment.filters["tojson"] = _tojson
    try:
        return environment.from_string(source, {"raise_exception": _raise, "strftime_now": _strftime_now})
    except jinja2.TemplateError as error:
        raise ConfigError(clean(f"malformed chat template: {error}")) from None


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


class _GenerationBlock(Extension):
    """{% generation %} ... {% endgeneration %}: marks the assistant's words in some templates; here it is its body."""

    tags = frozenset({"generation"})  # ty: ignore[invalid-assignment]

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
