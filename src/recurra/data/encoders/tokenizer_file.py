"""Checks a tokenizer file of a model folder before the Rust library reads it.

The library panics, hangs or needs much memory for some settings (truncation, padding, regular expressions). So only
tokenizers that this project creates are accepted: all settings must equal those of a new tokenizer, and the
vocabulary and the merges must be consistent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from recurra._util.schema import FileError, Natural, Record, check, empty_list, parse_json


class _Vocabulary(Record):
    vocab: dict[str, Natural]
    merges: list[tuple[str, str]] = empty_list()

    def check(self) -> None:
        if sorted(self.vocab.values()) != list(range(len(self.vocab))):
            raise ValueError("the token numbers are not 0, 1, 2, … without gaps")
        for left, right in self.merges:
            if left not in self.vocab or right not in self.vocab or left + right not in self.vocab:
                raise ValueError(f"the merge of {left!r:.40} and {right!r:.40} is not in the vocabulary")


def read_tokenizer(text: str, name: str, kinds: Sequence[Tokenizer], specials: Sequence[str]) -> Tokenizer:
    """Reads a tokenizer that was written by `Tokenizer.to_str`.

    Args:
        text: content of the file.
        name: name of the file, for messages.
        kinds: untrained tokenizers; the file must have the settings of one of them.
        specials: its special tokens, numbered 0, 1, 2, …

    Raises:
        FileError: the file is damaged, or its settings are not those of a kind.
    """
    found = parse_json(text, name)
    settings, learned = _parted(found)
    reasons = [_difference(settings, _settings(kind, specials), "") for kind in kinds]
    if None not in reasons:
        raise FileError(name, f"is not a tokenizer of this model: {reasons[0]}")
    vocabulary = check(_Vocabulary, learned, name, "model")
    for number, special in enumerate(specials):
        if vocabulary.vocab.get(special) != number:
            raise FileError(name, f"is not a tokenizer of this model: {special} does not have number {number}")
    try:
        return Tokenizer.from_str(text)
    except BaseException as error:  # a panic of the library is not an Exception
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise FileError(name, f"is damaged: {error}") from None


def _settings(kind: Tokenizer, specials: Sequence[str]) -> Any:
    """Returns the settings that the library writes for a tokenizer of a kind."""
    made = Tokenizer.from_str(kind.to_str())
    made.add_special_tokens(list(specials))
    return _parted(json.loads(made.to_str()))[0]


def _parted(document: Any) -> tuple[Any, dict[str, Any]]:
    """Separates the settings of a tokenizer from its vocabulary and merges."""
    if not isinstance(document, dict) or not isinstance(document.get("model"), dict):
        return document, {}
    model = dict(document["model"])
    learned = {name: model.pop(name) for name in ("vocab", "merges") if name in model}
    return {**document, "model": model}, learned


def _difference(found: Any, wanted: Any, place: str) -> str | None:
    """Returns the first difference between settings, or None. Older libraries may have written fewer keys."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key, value in found.items():
            at = f"{place}.{key}" if place else key
            if key not in wanted:
                return f"{at:.80} is not known"
            if reason := _difference(value, wanted[key], at):
                return reason
        needed = {"type", "pattern", "model", "normalizer", "pre_tokenizer", "decoder", "added_tokens", "id", "content"}
        missing = next((key for key in wanted if key in needed and key not in found), None)
        return None if missing is None else f"{place}.{missing} is missing".lstrip(".")
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = enumerate(zip(found, wanted, strict=True))
        return next((r for i, pair in pairs if (r := _difference(*pair, f"{place}[{i}]"))), None)
    if type(found) is type(wanted) and found == wanted:
        return None
    return f"{place or 'it'} is {_short(found)}, not {_short(wanted)}"


def _short(value: Any) -> str:
    return f"{json.dumps(value, ensure_ascii=False):.60}"
