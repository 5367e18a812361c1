"""Model folders from anywhere: whatever is in them, `load` gives a model or one sentence, soon and in little memory."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from schema1.inputs import FOLDERS

import recurra
from recurra.errors import ModelFolderError
from recurra.io import SCHEMA_VERSION

LIMIT = 10.0  # seconds


def damaged(tmp_path, damage: Callable[[Path], object], name: str = "classify") -> Path:
    folder = tmp_path / name
    shutil.copytree(FOLDERS / name, folder)
    damage(folder)
    return folder


def refused(folder: Path) -> str:
    start = time.monotonic()
    with pytest.raises(ModelFolderError) as caught:
        recurra.load(folder)
    assert time.monotonic() - start < LIMIT
    message = str(caught.value)
    assert caught.value.exit_code == 4
    assert len(message.splitlines()) <= 2
    assert len(message) < 700
    assert message.replace("\n", "").isprintable()
    return message


def edit(**changes):
    """Changes keys of config.json, by paths such as `params__hidden_size`; `...` takes one away."""

    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        for path, value in changes.items():
            *way, last = path.split("__")
            at = config
            for key in way:
                at = at[key]
            if value is ...:
                del at[last]
            else:
                at[last] = value
        (folder / "config.json").write_text(json.dumps(config))

    return damage


def write(name: str, content: str | bytes):
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def replaced(name: str, make: Callable[[Path], object]):
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return damage


def tokenizer(change: Callable[[dict], object], name: str = "tokenizer.json"):
    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return damage


def tensors(change: Callable[[dict[str, torch.Tensor]], object]):
    def damage(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return damage


def header(content: bytes, rest: bytes = b"", length: int | None = None):
    size = struct.pack("<Q", len(content) if length is None else length)
    return write("model.safetensors", size + content + rest)


def bind(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


OVERLAP = json.dumps(
    {
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
    }
).encode()
ONE = json.dumps({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}}).encode()

DAMAGE = {
    # what a file is
    "config missing": (lambda m: (m / "config.json").unlink(), "config.json is missing"),
    "weights missing": (lambda m: (m / "model.safetensors").unlink(), "model.safetensors is missing"),
    "metrics missing": (lambda m: (m / "metrics.json").unlink(), "metrics.json is missing"),
    "tokenizer missing": (lambda m: (m / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    **{
        f"{name} {what}": (replaced(name, make), f"{name} is {said}")
        for name in ("config.json", "model.safetensors", "tokenizer.json", "metrics.json", "README.md")
        for what, make, said in (
            ("fifo", os.mkfifo, "a named pipe"),
            ("socket", bind, "a socket"),
            ("folder", Path.mkdir, "a folder"),
            ("device", lambda p: p.symlink_to("/dev/zero"), "a link that leaves the folder"),
            ("link outside", lambda p: p.symlink_to("/etc/passwd"), "a link that leaves the folder"),
            ("link to nothing", lambda p: p.symlink_to("nothing"), "missing"),
        )
    },
    "link loop": (replaced("config.json", lambda p: p.symlink_to(p)), "config.json cannot be read"),
    # syntax
    "empty": (write("config.json", b""), "config.json is empty"),
    "white": (write("tokenizer.json", b" \n"), "tokenizer.json is empty"),
    "cut short": (write("config.json", '{"format":'), "config.json is damaged: line 1"),
    "a list": (write("config.json", "[]"), "does not describe a Recurra model"),
    "brackets": (write("config.json", "[" * 100_000), "nested too deeply"),
    "brackets and braces": (write("config.json", '{"a":' * 100_000), "nested too deeply"),
    "tokenizer brackets": (write("tokenizer.json", "[" * 100_000), "tokenizer.json is damaged: .* nested too deeply"),
    "metrics brackets": (write("metrics.json", "[" * 100_000), "metrics.json is damaged: .* nested too deeply"),
    "many lists": (write("config.json", "[" + "[]," * 1_000_000 + "[]]"), "more than 1,000,000 lists"),
    "large": (write("config.json", b" " * (65 << 20) + b"{}"), "larger than 64 MB"),
    "BOM": (write("config.json", b"\xef\xbb\xbf{}"), "byte order mark"),
    "UTF-16": (write("config.json", "{}".encode("utf-16")), "is not UTF-8 text"),
    "bytes": (write("tokenizer.json", b'{"a": "\xff"}'), "tokenizer.json is not UTF-8 text"),
    "README bytes": (write("README.md", b"\xff\xfe#"), "README.md is not UTF-8 text"),
    "NaN": (write("config.json", '{"format": "recurra", "schema_version": NaN}'), "NaN is not a JSON number"),
    "infinity": (write("config.json", '{"a": -Infinity}'), "-Infinity is not a JSON number"),
    "1e999": (write("config.json", '{"a": 1e999}'), "1e999 is out of range"),
    "huge number": (write("config.json", '{"a": ' + "9" * 100_000 + "}"), "is out of range"),
    "key twice": (write("config.json", '{"format": "recurra", "format": "recurra"}'), 'the key "format" occurs twice'),
    "pickle": (write("model.safetensors", pickle.dumps({"w": 1})), "damaged or cut short"),
    # keys, types and ranges
    "format": (edit(format="other"), "does not describe a Recurra model"),
    "newer": (edit(schema_version=SCHEMA_VERSION + 1), "newer version"),
    "older": (edit(schema_version=0), "no valid schema_version"),
    "version text": (edit(schema_version="1"), "no valid schema_version"),
    "version bool": (edit(schema_version=True), "no valid schema_version"),
    "task": (edit(task="fly"), "the task 'fly', which this version does not know"),
    "task list": (edit(task=["classify"]), "does not know"),
    "other task": (edit(task="regress"), "config.json does not fit"),
    "unknown key": (edit(colour="red"), "config.json does not fit: .*colour.*newer version"),
    "unknown parameter": (edit(params__colour="red"), "params: .*colour"),
    "missing key": (edit(encoder=...), "missing required field encoder"),
    "params list": (edit(params=[]), "params: expected object, got array"),
    "size text": (edit(params__hidden_size="4"), "params.hidden_size: expected .*int.*, got str"),
    "size float": (edit(params__hidden_size=4.5), "params.hidden_size: expected .*int.*, got float"),
    "flag": (edit(params__bidirectional=2), "params.bidirectional"),
    "flag chosen": (edit(chosen__bidirectional=-1), "chosen.bidirectional"),
    "size bool": (edit(params__hidden_size=True), "params.hidden_size: expected int, got bool"),
    "device": (edit(params__device="lstm"), "there is no device 'lstm'"),
    "size null": (edit(params__hidden_size=None), "params.hidden_size"),
    "size 0": (edit(params__hidden_size=0), "hidden_size must be at least 1"),
    "size large": (edit(params__hidden_size=20_000), "hidden_size|shape"),
    "size huge": (edit(params__hidden_size=10**15), "hidden_size must be at most"),
    "layers": (edit(params__num_layers=250), "lacks the tensor"),
    "layers huge": (edit(params__num_layers=10**9), "num_layers must be at most"),
    "other size": (edit(params__hidden_size=5), "of shape .*, where shape .* follows from config.json"),
    "cell": (edit(params__cell="transformer"), "needs the cell 'transformer'"),
    "cell list": (edit(params__cell=["lstm"]), "params.cell: expected str, got array"),
    "dropout": (edit(params__dropout=7.0), "dropout must lie in"),
    "engine": (edit(params__engine="magic"), "there is no engine 'magic'"),
    "encoder kind": (edit(encoder__kind="video"), "encoder.kind: invalid value 'video'"),
    "encoder tokens": (edit(encoder__tokens="emoji"), "encoder.tokens"),
    "specials": (edit(encoder__specials=["[UNK]"]), "specials"),
    "classes few": (edit(targets__classes=["pos"]), "at least 2"),
    "classes many": (edit(targets__classes=["a", "b", "c"]), "shape"),
    "classes twice": (edit(targets__classes=["a", "a"]), "occurs twice"),
    "classes long": (edit(targets__classes=["a" * (1 << 20), *map(str, range(1000))]), "too long"),
    "classes mixed": (edit(targets__classes=["a", 1]), "do not have the type"),
    "classes dtype": (edit(targets__dtype="S100000000000"), "do not have the type"),
    "classes objects": (edit(targets__dtype="object"), "do not have the type"),
    "chosen": (edit(chosen__pooling="magic"), "chosen: pooling is one of"),
    "files text": (edit(files="README.md"), "files"),
    "files outside": (edit(files=["../outside.md"]), "file names"),
    "files absolute": (edit(files=["/etc/passwd"]), "file names"),
    "files many": (edit(files=[f"{i}.md" for i in range(1000)]), "at most 16"),
    "files lack": (edit(files=["README.md", "metrics.json"]), "does not name tokenizer.json"),
    "files config": (edit(files=["config.json"]), "file names"),
    # weights
    "weights empty": (write("model.safetensors", b""), "no header"),
    "weights cut": (
        lambda m: (m / "model.safetensors").write_bytes((m / "model.safetensors").read_bytes()[:-3]),
        "cut short",
    ),
    "weights longer": (
        lambda m: (m / "model.safetensors").write_bytes((m / "model.safetensors").read_bytes() + b"123"),
        "damaged",
    ),
    "header huge": (header(b"{}", length=2**62), "its header has"),
    "header brackets": (header(b"[" * 100_000), "damaged"),
    "header no JSON": (header(b"\xff" * 100), "damaged"),
    "overlap": (header(OVERLAP, bytes(12)), "damaged"),
    "sizes overflow": (header(ONE, bytes(8)), "damaged"),
    "tensor missing": (tensors(lambda w: w.pop("head.bias")), "lacks the tensor head.bias"),
    "tensor extra": (tensors(lambda w: w.update(extra=torch.ones(2))), "holds the tensor extra"),
    "tensor shape": (tensors(lambda w: w.update({"head.bias": torch.ones(3)})), "head.bias of shape"),
    "tensor type": (tensors(lambda w: w.update({"head.bias": torch.ones(2).double()})), "head.bias of type F64"),
    "tensor NaN": (
        tensors(lambda w: w["head.bias"].fill_(torch.nan)),
        "2 values that are not finite numbers in the tensor head.bias",
    ),
    "tensor infinite": (tensors(lambda w: w["head.weight"][0].fill_(torch.inf)), "not finite numbers in the tensor"),
    # tokenizers
    "tokenizer cut": (write("tokenizer.json", '{"version": "1.0"'), "tokenizer.json is damaged"),
    "tokenizer list": (write("tokenizer.json", "[1]"), "is not a tokenizer of this model"),
    "tokenizer null": (write("tokenizer.json", "null"), "is not a tokenizer of this model"),
    "tokenizer no decoder": (tokenizer(lambda t: t.pop("decoder")), "decoder is missing"),
    "metrics watch": (
        write("metrics.json", '{"best_epoch": 0, "epochs": 1, "history": [{"loss": 1}], "watch": [{"dead": "x"}]}'),
        "watch.dead",
    ),
    "escape": (write("config.json", r'{"format": "\ud800"}'), "half of a character"),
    "control characters": (edit(**{"\x1b[2J\n": 1}), "config.json does not fit"),
    "tokenizer no model": (tokenizer(lambda t: t.pop("model")), "is not a tokenizer of this model"),
    "truncation": (
        tokenizer(
            lambda t: t.update(
                truncation={"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 9}
            )
        ),
        "truncation is",
    ),
    "padding": (
        tokenizer(
            lambda t: t.update(
                padding={
                    "strategy": {"Fixed": 1 << 40},
                    "direction": "Right",
                    "pad_to_multiple_of": 0,
                    "pad_id": 0,
                    "pad_type_id": 0,
                    "pad_token": "x",
                }
            )
        ),
        "padding is",
    ),
    "normalizer": (
        tokenizer(lambda t: t.update(normalizer={"type": "Replace", "pattern": {"Regex": "(a*)*$"}, "content": "aa"})),
        "normalizer",
    ),
    "charsmap": (
        tokenizer(lambda t: t.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
        "normalizer",
    ),
    "unigram": (
        tokenizer(lambda t: t.update(model={"type": "Unigram", "unk_id": 5, "vocab": [["a", 0.0]]})),
        "model",
    ),
    "added tokens": (tokenizer(lambda t: t["added_tokens"][0].update(id=4_000_000_000)), "added_tokens"),
    "vocabulary gap": (tokenizer(lambda t: t["model"]["vocab"].update(film=10**9)), "without gaps"),
    "vocabulary empty": (tokenizer(lambda t: t["model"].update(vocab={}, merges=[])), "number 0"),
    "vocabulary negative": (tokenizer(lambda t: t["model"]["vocab"].update(film=-1)), "model.vocab"),
    "vocabulary larger": (
        tokenizer(lambda t: t["model"]["vocab"].update(zebra=len(t["model"]["vocab"]))),
        "embedding.weight of shape",
    ),
    "merges": (tokenizer(lambda t: t["model"]["merges"].append(["q", "x"])), "the merge of 'q' and 'x'"),
    "merges text": (tokenizer(lambda t: t["model"].update(merges=["a b"])), "model.merges"),
    # figures
    "metrics list": (write("metrics.json", "[]"), "metrics.json does not fit"),
    "metrics epochs": (
        write("metrics.json", '{"best_epoch": 9, "epochs": 1, "history": [{}]}'),
        "is 9 of 1",
    ),
    "metrics text": (
        write("metrics.json", '{"best_epoch": 0, "epochs": 1, "history": [{"loss": "low"}]}'),
        "history",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named(tmp_path, what):
    damage, message = DAMAGE[what]
    folder = damaged(tmp_path, damage)
    found = refused(folder)
    assert str(folder) in found
    assert re.search(message, found), found


OTHERS = {
    "series": ("classify-series", edit(encoder__scale=[-1.0, 1.0]), "encoder.scale"),
    "series size": ("classify-series", edit(encoder__mean=[0.0]), "mean and scale do not have 2 values"),
    "series masked": ("classify-series", edit(encoder__masked=[7]), "masked"),
    "series masked more": ("classify-series", edit(encoder__masked=[0, 1]), "shape"),
    "series huge": ("classify-series", edit(encoder__features=10**12), "mean and scale"),
    "sound rate": ("classify-sounds", edit(encoder__rate=10**9), "encoder.rate"),
    "sound bands": ("classify-sounds", edit(encoder__bands=10**9), "bands"),
    "input column": ("regress", edit(**{"data__input column": 1}), r"provenance.input_column: expected str"),
    "target column": ("tag", edit(**{"data__target column": ["a"]}), "provenance.target_column: expected str"),
    "source column": ("translate", edit(**{"data__source column": 0.5}), "provenance.source_column: expected str"),
    "feature columns": (
        "classify-series",
        edit(**{"data__feature columns": "a"}),
        "provenance.feature_columns: expected array",
    ),
    "time format": ("classify-series", edit(**{"data__time format": True}), "provenance.time_format: expected str"),
    "provenance": ("fill", edit(provenance={"input_column": 1}), "provenance.input_column: expected str"),
    "provenance unknown": ("fill", edit(provenance={"colour": "red"}), "provenance: .*colour"),
    "provenance null": ("fill", edit(provenance=None), "provenance: expected object"),
    "hash": ("fill", edit(**{"data__hash (BLAKE2b)": ["a"]}), r"data\[\.\.\.\]: expected"),
    "target scale": ("regress", edit(targets__scale=[-1.0, 1.0]), "targets.scale"),
    "target sizes": ("regress", edit(targets__mean=[1.0]), "do not fit each other"),
    "tags": ("tag", edit(targets__tags=["O"]), "at least 2"),
    "tags of a scheme": ("tag", edit(targets__tags=[f"B-{i}" for i in range(3000)]), "at most 2,000"),
    "scheme": ("tag", edit(targets__scheme="XYZ"), "targets.scheme"),
    "words": ("tag", write("words.json", '{"words": {"a": -1}, "characters": {}}'), "words.json does not fit"),
    "words many": ("tag", write("words.json", '{"words": {"a": 1000000000}, "characters": {"a": 2}}'), "shape"),
    "words list": ("tag", write("words.json", '{"words": [], "characters": {}}'), "words.json does not fit"),
    "context": ("forecast", edit(sizes__context=10**12), "at most 1,000,000 steps"),
    "context other": ("forecast", edit(sizes__context=15), "shape"),
    "horizon": ("forecast", edit(params__horizon=10**12), "horizon must be at most"),
    "quantiles": ("forecast", edit(params__quantiles=[0.9, 0.1]), "quantiles"),
    "frequency": ("forecast", edit(preparation__frequency__kind="lunar"), "frequency.kind"),
    "frequency step": ("forecast", edit(preparation__frequency__step=0), "frequency.step"),
    "columns": ("forecast", edit(preparation__columns__colour="red"), "columns: .*colour"),
    "columns many": ("forecast", edit(preparation__columns__target=["a"] * 5), "do not have a mean"),
    "cycles": ("forecast", edit(preparation__cycles=["moon"]), "cycles"),
    "scales": ("forecast", edit(preparation__scales=[[None, [[0.0], [0.0]]]]), "a deviation is 0"),
    "seen": ("forecast", edit(seen__cuts=[]), "cuts"),
    "plain tokens": ("generate", edit(encoder__specials=["a", "b"]), "specials"),
    "split": (
        "generate",
        tokenizer(lambda t: t["pre_tokenizer"]["pattern"].update(Regex="(a*)*b")),
        r"pre_tokenizer.pattern.Regex",
    ),
    "byte pieces": (
        "generate-texts",
        lambda m: (m / "tokenizer.json").write_text((m / "tokenizer.json").read_text().replace('"!":3', '"\x9b":3')),
        "not a letter of byte-level pieces",
    ),
    "labels": ("generate-texts", edit(classes=["neg"]), "shape"),
    "limit": ("translate", edit(limit=[10, 1e300]), "limit"),
    "limit at least": ("translate", edit(limit=[10**15, 2.0]), "limit"),
    "beam": ("translate", edit(params__beam_size=10**9), "beam_size must be at most"),
    "pairs": ("translate", write("pairs.jsonl", '["a", "b"]\n["a"]\n'), "pairs.jsonl is damaged: line 2"),
    "pairs nested": ("translate", write("pairs.jsonl", "[" * 100_000), "pairs.jsonl is damaged: line 1"),
    "target tokens": (
        "translate",
        tokenizer(lambda t: t["added_tokens"].pop(), "target-tokenizer.json"),
        "target-tokenizer.json is not a tokenizer",
    ),
    "counts": ("fill", edit(counts=[1]), "counts does not have"),
    "counts negative": ("fill", edit(counts=[-1]), "counts"),
    "spans": ("fill", edit(spans=[1.0] * 100), "spans"),
    "spans of zero": ("fill", edit(spans=[0.0, 0.0]), "no positive share"),
    "blank": ("transcribe", edit(**{"text encoder__specials": []}), "specials"),
    "frames": ("transcribe", edit(params__frames=10**9), "frames must be at most"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_damage_to_other_tasks_is_named(tmp_path, what):
    name, damage, message = OTHERS[what]
    found = refused(damaged(tmp_path, damage, name))
    assert re.search(message, found), found


@pytest.mark.parametrize("name", ["classify", "generate"])
def test_a_folder_that_is_replaced_while_it_is_read(tmp_path, monkeypatch, name):
    """The weights of one model never meet the tokens of another."""
    from recurra.tasks import restore as module

    folder = damaged(tmp_path, lambda m: None)
    shutil.copytree(FOLDERS / name, tmp_path / "new")
    read, times = module.read_weights, []

    def replacing(*arguments, **options):
        if not times:
            folder.rename(tmp_path / "old")
            (tmp_path / "new").rename(folder)
        times.append(1)
        return read(*arguments, **options)

    monkeypatch.setattr(module, "read_weights", replacing)
    assert recurra.load(folder).task == name
    assert len(times) == 2


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 300, "x/" * 3000, "no/such", __file__, "/dev/null", "."])
def test_what_is_no_folder(path):
    message = refused(Path(path))
    assert "folder" in message or "config.json is missing" in message


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    folder = damaged(tmp_path, lambda m: None)
    really = os.open

    def forbidden(path, *rest, **options):
        if str(path).endswith("tokenizer.json"):
            raise PermissionError(13, "Permission denied")
        return really(path, *rest, **options)

    monkeypatch.setattr(os, "open", forbidden)
    assert refused(folder) == f"{folder}/tokenizer.json cannot be read: Permission denied"


def test_a_panic_of_the_tokenizers_is_an_error_of_the_folder(monkeypatch):
    from recurra.data.encoders import tokenizer_file

    class PanicException(BaseException):
        """As pyo3 raises it."""

    class Panicking:
        @staticmethod
        def from_str(text):
            raise PanicException("index out of bounds")

    monkeypatch.setattr(tokenizer_file, "Tokenizer", Panicking)
    monkeypatch.setattr(tokenizer_file, "_settings", lambda kind, specials: {"model": {}})
    with pytest.raises(ModelFolderError, match="json is damaged: index out of bounds"):
        tokenizer_file.read_tokenizer('{"model": {"vocab": {"[UNK]": 0}}}', "t.json", [None], ["[UNK]"])


def test_links_inside_the_folder_are_followed(tmp_path):
    def link(folder: Path) -> None:
        (folder / "blobs").mkdir()
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (folder / name).rename(folder / "blobs" / name)
            (folder / name).symlink_to(Path("blobs", name))

    folder = damaged(tmp_path, link)
    (tmp_path / "link").symlink_to(folder)
    assert recurra.load(tmp_path / "link").task == "classify"


def test_a_model_of_texts_without_a_column_loads(tmp_path):
    recurra.load(damaged(tmp_path, edit(**{"data__input column": None}), "fill"))
    recurra.load(damaged(tmp_path, edit(provenance={"input_column": None}), "tag"))


def test_other_files_are_ignored(tmp_path):
    folder = damaged(tmp_path, lambda m: [os.mkfifo(m / "pipe"), (m / ".DS_Store").write_bytes(b"\xff")])
    assert recurra.load(folder).task == "classify"


def test_loading_does_not_move_the_random_generator():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    recurra.load(FOLDERS / "classify")
    assert torch.equal(torch.rand(2), expected)


def test_keys_with_a_default_may_be_absent(tmp_path):
    """Folders of versions before these keys existed."""
    folder = damaged(tmp_path, edit(chosen=..., encoder__specials=..., gates=..., states=..., params__watch=...))
    found = recurra.load(folder)
    assert found.resolved_params_["pooling"] == "attention"
    assert found.health_checks is False
