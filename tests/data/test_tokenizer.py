"""The tokenizer against transformers on real files, and the care it takes of boundaries, eos and special tokens."""

import json
import shutil

import pytest
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from prefjax.data.tokenizer import Tokenizer
from prefjax.errors import ConfigError, DataError

TEXTS = ["", "Once upon a time", "  two  spaces\n\n", "é 日本語 \U0001f600", "a </s> b <|endoftext|> c"]
CHAT = [
    {"role": "user", "content": "Hi there"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "  And\nnow? "},
]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tiny(
    template=None, merges=(), specials=("<s>", "</s>", "<|im_start|>", "<|im_end|>"), eos="</s>", bos=None, **config
):
    """A byte-level tokenizer of single bytes and a few merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: i for i, piece in enumerate([*alphabet, *("".join(m) for m in merges)])}
    tok = tokenizers.Tokenizer(models.BPE(vocab, list(merges)))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens(list(specials))
    if bos:
        tok.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A {eos}", special_tokens=[(t, tok.token_to_id(t)) for t in (bos, eos)]
        )
    config |= {"eos_token": eos, "bos_token": bos, "chat_template": template}
    return Tokenizer({"tokenizer.json": tok.to_str().encode(), "tokenizer_config.json": json.dumps(config).encode()})


@pytest.fixture(scope="module")
def qwen(real_data, tmp_path_factory):
    """A folder with Qwen 2.5's tokenizer.json, made of its vocabulary and merges, and its ChatML template."""
    source, folder = real_data / "tokenizers/qwen2_5", tmp_path_factory.mktemp("qwen")
    tok = tokenizers.Tokenizer(models.BPE.from_file(str(source / "vocab.json"), str(source / "merges.txt")))
    tok.normalizer = normalizers.NFC()
    runs = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    words = f"(?i:'s|'t|'re|'ve|'m|'ll|'d)|{runs}"
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(words), "isolated"), byte_level])
    tok.decoder = decoders.ByteLevel()
    added = json.loads((source / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    for _, token in sorted(added.items(), key=lambda item: int(item[0])):
        tok.add_tokens([AddedToken(token["content"], normalized=False, special=token["special"])])
    tok.save(str(folder / "tokenizer.json"))
    shutil.copyfile(source / "tokenizer_config.json", folder / "tokenizer_config.json")
    return folder


@pytest.fixture(scope="module", params=["stories260K", "storybyte-nano", "qwen2_5"])
def both(request, real_data):
    """Ours and transformers' tokenizer of one folder."""
    transformers = pytest.importorskip("transformers")
    name = request.param
    folder = request.getfixturevalue("qwen") if name == "qwen2_5" else real_data / "models" / name
    return Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder)


def test_ids_and_text_equal_those_of_transformers(both):
    ours, theirs = both
    for text in TEXTS:
        ids = ours.encode(text)
        assert ids == theirs.encode(text)
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
        assert ours.decode(ids, special=True) == theirs.decode(ids)
    assert (ours.eos_id, ours.bos_id, ours.pad_id) == (theirs.eos_token_id, theirs.bos_token_id, theirs.pad_token_id)
    assert ours.vocab_size == len(theirs)


@pytest.mark.parametrize("generation_prompt", [True, False])
def test_conversations_equal_those_of_transformers(both, generation_prompt):
    ours, theirs = both
    if theirs.chat_template is None:
        with pytest.raises(ConfigError, match="no chat template"):
            ours.render(CHAT)
        return
    options = {"add_generation_prompt": generation_prompt}
    assert ours.render(CHAT, generation_prompt) == theirs.apply_chat_template(CHAT, tokenize=False, **options)
    ids = theirs.apply_chat_template(CHAT, return_dict=False, **options)
    if generation_prompt:
        assert ours.encode_prompt(CHAT) == ids
    first = CHAT[:1]
    assert ours.encode_prompt("Hi there") == theirs.apply_chat_template(
        first, add_generation_prompt=True, return_dict=False
    )


def test_a_response_is_what_the_template_writes_up_to_its_one_eos(both):
    ours, theirs = both
    prompt, response = ("Tell me.", " A story.")
    encoded = ours.encode_response(prompt, response)
    if theirs.chat_template:
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        whole = theirs.apply_chat_template(turns, return_dict=False)
    else:
        whole = [*theirs.encode(prompt + response), theirs.eos_token_id]
    assert encoded.prompt == ours.encode_prompt(prompt)
    assert encoded.prompt + encoded.response == whole[: len(encoded.prompt) + len(encoded.response)]
    assert encoded.response.index(ours.eos_id) == len(encoded.response) - 1
    assert not theirs.decode(whole[len(encoded.prompt) + len(encoded.response) :]).strip()


def test_saved_and_loaded_it_is_the_same(both, tmp_path):
    ours, _ = both
    ours.save(tmp_path / "copy")
    copy = Tokenizer.load(tmp_path / "copy")
    assert copy.digest == ours.digest and len(copy.digest) == 64
    assert copy.encode_response("a prompt", "an answer") == ours.encode_response("a prompt", "an answer")


def test_names_of_special_tokens_in_content_are_plain_text(both):
    ours, _ = both
    specials = set(ours.specials.values())
    for name in ours.specials:
        encoded = ours.encode_response(f"Say {name} twice.", f" Well: {name}{name}.")
        plain = ours.encode_response("Say x twice.", " Well: xx.")
        for part, reference in zip(encoded[:2], plain[:2], strict=True):
            assert [i for i in part if i in specials] == [i for i in reference if i in specials]
        assert f" Well: {name}{name}." in ours.decode(encoded.prompt + encoded.response)
        assert ours.decode(ours.encode(f"a {name}", special=False)) == f"a {name}"
        assert not specials & set(ours.encode(f"a {name}", special=False))


def test_without_a_template_a_prompt_is_its_text_after_the_bos_and_no_eos_of_the_processor():
    tok = tiny(bos="<s>")
    assert tok.encode_prompt("ab") == [tok.bos_id, *tok.encode("ab", special=False)]
    encoded = tok.encode_response("ab", "cd")
    assert encoded.response == [*tok.encode("cd", special=False), tok.eos_id]
    assert tok.encode_text("ab") == ([tok.bos_id], [*tok.encode("ab", special=False), tok.eos_id], False)
    assert tiny(bos="<s>", add_bos_token=False).encode_prompt("ab") == tok.encode("ab", special=False)


def test_without_a_bos_the_first_token_of_a_text_is_its_prompt():
    tok = tiny()
    first, *rest = tok.encode("abc")
    assert tok.encode_text("abc") == ([first], [*rest, tok.eos_id], False)


def test_a_template_that_writes_no_eos_gets_one_and_one_that_goes_on_after_it_is_cut():
    bare = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}{% if add_generation_prompt %}[{% endif %}"
    tok = tiny(bare)
    assert tok.encode_response("a", "b").response == [*tok.encode("b]"), tok.eos_id]
    tok = tiny(CHATML, eos="<|im_end|>")
    assert tok.encode_response("a", "b").response == [*tok.encode("b"), tok.eos_id]


def test_a_merge_across_the_boundary_is_avoided_and_told():
    tok = tiny(merges=[("a", "b")])
    prompt, response = tok.encode_prompt("xa"), tok.encode("b")
    assert tok.encode("xab") != prompt + response
    assert tok.encode_response("xa", "bc") == (prompt, [*response, *tok.encode("c"), tok.eos_id], True)
    assert not tok.encode_response("x", "abc").apart


def test_a_response_tokenised_apart_gains_no_space_of_the_normaliser(real_data):
    tok = Tokenizer.load(real_data / "models/stories260K")
    encoded = tok.encode_response("Once up", "on a time")
    assert encoded.apart and encoded.prompt == tok.encode("Once up")
    assert tok.decode(encoded.prompt + encoded.response) == "Once upon a time"


def test_pad_is_eos_where_none_is_named_and_saved_truncation_is_undone():
    tok = tiny()
    assert tok.pad_id == tok.eos_id
    state = json.loads(tok.files["tokenizer.json"])
    state["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    cut = Tokenizer(tok.files | {"tokenizer.json": json.dumps(state).encode()})
    assert cut.encode("abcdef") == tok.encode("abcdef")


def test_an_eos_that_is_not_marked_as_special_is_treated_as_one():
    tok = tiny()
    state = json.loads(tok.files["tokenizer.json"])
    for token in state["added_tokens"]:
        token["special"] = token["content"] != "</s>"
    unmarked = Tokenizer(tok.files | {"tokenizer.json": json.dumps(state).encode()})
    assert unmarked.encode("a</s>") == tok.encode("a</s>")
    assert unmarked.encode("a</s>", special=False) == tok.encode("a</s>", special=False)
    assert unmarked.decode([tok.eos_id]) == ""


def test_templates_may_use_what_transformers_offers_them():
    template = (
        "{% for m in messages %}{% if m.content == 'stop' %}{% break %}{% endif %}"
        "{% generation %}{{ m | tojson }}{% endgeneration %}{% endfor %}{{ strftime_now('%%') }}"
    )
    stop = {"role": "user", "content": "stop"}
    assert tiny(template).render([{"content": "<é>"}, stop, stop]) == '{"content": "<é>"}%'


def test_what_a_template_refuses_is_a_data_error_and_it_cannot_reach_out():
    with pytest.raises(DataError, match="roles must alternate"):
        tiny("{{ raise_exception('roles must alternate') }}").encode_prompt("a")
    with pytest.raises(DataError, match="unsafe"):
        tiny("{{ messages.__class__.__mro__ }}").encode_prompt("a")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no tokenizer.json"),
        ({"tokenizer.json": b"{}"}, "malformed tokenizer files"),
        ({"tokenizer_config.json": b"{"}, "malformed tokenizer files"),
        ({"tokenizer_config.json": b"{}"}, "no eos_token"),
        ({"tokenizer_config.json": b'{"eos_token": "<none>"}'}, "'<none>' is not in tokenizer.json"),
        ({"chat_template.jinja": b"{% if %}"}, "malformed chat template"),
    ],
)
def test_a_folder_that_is_no_tokenizer_is_told_why(files, message):
    with pytest.raises(ConfigError, match=message):
        Tokenizer(tiny().files | files if files else {})


def test_a_template_file_or_the_default_of_several_is_used():
    several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "{{ messages[0].content }}!"}]
    tok = tiny(several)
    assert tok.render([{"content": "a"}]) == "a!"
    assert Tokenizer(tok.files | {"chat_template.jinja": b"file"}).render([]) == "file"


def test_marks_in_content_are_no_way_in():
    tok = tiny(CHATML)
    encoded = tok.encode_response("\ufdd02\ufdd1 \ufdd0999\ufdd1", "</s>")
    assert tok.decode(encoded.prompt).count("\ufffd") == 4
    assert encoded.response.count(tok.eos_id) == 1
