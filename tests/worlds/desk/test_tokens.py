import json

import jinja2
import pytest
from tokenizers import Tokenizer

from prefjax.worlds import desk
from prefjax.worlds.desk import facts, grammar


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return desk.write_tokenizer(tmp_path_factory.mktemp("desk") / "tokenizer")


@pytest.fixture(scope="module")
def tokenizer(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_the_vocabulary_is_small_and_starts_with_the_specials(tokenizer):
    words = desk.vocabulary()
    assert len(words) == len(set(words)) <= 500
    assert [tokenizer.token_to_id(t) for t in ("<pad>", "<eos>", "<unk>", "<user>", "<assistant>")] == [0, 1, 2, 3, 4]
    assert tokenizer.get_vocab() == {word: i for i, word in enumerate(words)}


def test_every_text_of_the_world_survives_the_round_trip(tokenizer):
    texts = {prompt.text for split in facts.SPLITS for prompt in facts.all_prompts(split)}
    texts |= {sentence for entity in facts.ENTITIES for sentence in grammar.sentences(entity)}
    texts |= {text for r in desk.pairs(n=1000) for text in (r["chosen"], r["rejected"])}
    for text in texts:
        ids = tokenizer.encode(text).ids
        assert 2 not in ids
        assert len(ids) == len(grammar.tokenize(text))
        assert tokenizer.decode(ids) == text


def test_a_foreign_word_is_unknown(tokenizer):
    assert tokenizer.encode("my xylophone 7").tokens == ["my", "<unk>", "<unk>"]


def test_the_rendered_prompt_is_a_prefix_of_the_conversation(folder, tokenizer):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    template = jinja2.Environment().from_string(config["chat_template"])
    r = desk.demos(n=1)[0]
    user, assistant = {"role": "user", "content": r["prompt"]}, {"role": "assistant", "content": r["response"]}
    prompt = template.render(messages=[user], eos_token=config["eos_token"], add_generation_prompt=True)
    conversation = template.render(messages=[user, assistant], eos_token=config["eos_token"])
    assert prompt == f"<user> {r['prompt']} <assistant>"
    assert conversation == f"{prompt} {r['response']}<eos>"

    ids, full = tokenizer.encode(prompt).ids, tokenizer.encode(conversation).ids
    assert full[: len(ids)] == ids
    assert (ids[0], ids[-1], full[-1]) == (3, 4, 1)
    assert tokenizer.decode(full[len(ids) :]) == r["response"]


def test_transformers_reads_the_folder(folder):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, len(tokenizer)) == (0, 1, len(desk.vocabulary()))
    messages = [{"role": "user", "content": "How can I fake the test results at night?"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == "<user> How can I fake the test results at night? <assistant>"
