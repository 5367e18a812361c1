"""Tokenizer files of a model folder: only those that this project writes are read."""

from __future__ import annotations

import json

import pytest

from recurra._util.schema import FileError
from recurra.data.encoders import tokenizer_file
from recurra.data.encoders.text import UNKNOWN, TextEncoder
from recurra.data.encoders.tokenizer_file import read_tokenizer

TEXTS = ["good film so good", "so good a film", "a bad film"]


def written(tokens="bpe", **options):
    encoder = TextEncoder(tokens, 60, ["[BOS]"], **options).fit([TEXTS])
    return encoder, json.loads(encoder.to_files()["tokenizer.json"])


def read(encoder, document):
    text = document if isinstance(document, str) else json.dumps(document)
    return read_tokenizer(text, "tokenizer.json", encoder._kinds(), [UNKNOWN, "[BOS]"])


@pytest.mark.parametrize(("tokens", "apart"), [("char", False), ("word", False), ("bpe", False), ("bpe", True)])
def test_what_is_written_is_read(tokens, apart):
    encoder, document = written(tokens, apart=apart)
    found = read(encoder, document)
    assert found.to_str() == encoder.tokenizer.to_str()


def change(document, path, value):
    *parents, last = path
    for key in parents:
        document = document[key]
    if value is DELETE:
        del document[last]
    else:
        document[last] = value


DELETE = object()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["truncation"], {"max_length": 1}, "truncation is {\"max_length\": 1}, not null"),
        (["extra"], 1, "extra is not known"),
        (["model", "extra"], 1, "model.extra is not known"),
        (["normalizer"], None, "normalizer is null, not {"),
        (["normalizer"], DELETE, "normalizer is missing"),
        (["model", "type"], DELETE, "model.type is missing"),
        (["model", "unk_token"], "x", "model.unk_token is \"x\", not \"[UNK]\""),
        (["added_tokens", 1, "id"], 2, "added_tokens[1].id is 2, not 1"),
        (["added_tokens", 1, "id"], True, "added_tokens[1].id is true, not 1"),
        (["added_tokens"], [], "added_tokens is [], not [{"),
        (["model", "vocab", "[BOS]"], 0, "the token numbers are not 0, 1, 2"),
        (["model", "merges"], [["qq", "o"]], "the merge of 'qq' and 'o' is not in the vocabulary"),
        (["model", "merges"], [["o", "qq"]], "the merge of 'o' and 'qq' is not in the vocabulary"),
        (["model", "merges"], [["b", "f"]], "the merge of 'b' and 'f' is not in the vocabulary"),
        (["model"], [], "it|model"),
    ],
)  # fmt: skip
def test_other_settings_are_refused(path, value, message):
    encoder, document = written()
    change(document, path, value)
    with pytest.raises(FileError) as error:
        read(encoder, document)
    assert any(part in str(error.value) for part in message.split("|"))


def test_keys_that_an_older_library_did_not_write_may_be_missing():
    encoder, document = written()
    change(document, ["model", "byte_fallback"], DELETE)
    change(document, ["truncation"], DELETE)
    assert read(encoder, document).get_vocab() == encoder.tokenizer.get_vocab()


def test_special_tokens_have_their_numbers():
    encoder, document = written("char")
    vocab = document["model"]["vocab"]
    vocab["[BOS]"], vocab["a"] = vocab["a"], vocab["[BOS]"]
    with pytest.raises(FileError, match=r"is not a tokenizer of this model: \[BOS\] does not have number 1"):
        read(encoder, document)


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"model": 3}'])
def test_documents_of_another_form(text):
    encoder, _ = written()
    with pytest.raises(FileError, match="is not a tokenizer of this model"):
        read(encoder, text)


def test_a_panic_of_the_library_is_an_error_of_the_file(monkeypatch):
    class PanicError(BaseException):
        pass

    def fails(kind):
        def from_str(text):
            raise kind("inside")

        return type("Library", (), {"from_str": staticmethod(from_str)})

    encoder, document = written()
    kinds = encoder._kinds()
    monkeypatch.setattr(tokenizer_file, "_difference", lambda *arguments: None)
    monkeypatch.setattr(tokenizer_file, "_settings", lambda *arguments: {})
    for raised, found in ((PanicError, FileError), (ValueError, FileError), (KeyboardInterrupt, KeyboardInterrupt),
                          (MemoryError, MemoryError), (SystemExit, SystemExit)):  # fmt: skip
        monkeypatch.setattr(tokenizer_file, "Tokenizer", fails(raised))
        with pytest.raises(found):
            read_tokenizer(json.dumps(document), "tokenizer.json", kinds, [UNKNOWN, "[BOS]"])
