"""The word-level tokenizer of the desk world, as files of a Hugging Face folder."""

import json
import pathlib
import tempfile

from prefjax.data.tokenizer import Tokenizer
from prefjax.worlds.desk import facts, grammar

SPECIALS = ("<pad>", "<eos>", "<unk>", "<user>", "<assistant>")
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<assistant> ' + message['content'] + eos_token }}"
    "{% else %}{{ '<user> ' + message['content'] + ' ' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


def vocabulary() -> list[str]:
    """Specials first, then every word and mark of the world's prompts and sentences."""
    texts = [prompt.text for split in facts.SPLITS for prompt in facts.all_prompts(split)]
    texts += [sentence for entity in facts.ENTITIES for sentence in grammar.sentences(entity)]
    return [*SPECIALS, *sorted({token for text in texts for token in grammar.tokenize(text)})]


def tokenizer() -> Tokenizer:
    """The tokenizer, ready for use."""
    with tempfile.TemporaryDirectory() as folder:
        return Tokenizer.load(write_tokenizer(folder))


def write_tokenizer(folder: str | pathlib.Path) -> pathlib.Path:
    """Write tokenizer.json and tokenizer_config.json, chat template included; every text of the world round-trips."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary())}, unk_token="<unk>"))
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(grammar.WORD.pattern), behavior="removed", invert=True)
    spaces = decoders.WordPiece(prefix="##", cleanup=False)  # the one decoder that puts a space before every later word
    tokenizer.decoder = decoders.Sequence([spaces, *(decoders.Replace(f" {mark}", mark) for mark in ".,:?!")])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "eos_token": "<eos>",
        "unk_token": "<unk>",
        "additional_special_tokens": ["<user>", "<assistant>"],
        "clean_up_tokenization_spaces": False,
        "chat_template": _CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder
