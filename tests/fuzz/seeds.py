"""Small valid files of every format, each with commands that read it. The fuzz tests damage them."""

from __future__ import annotations

import gzip
import io
import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

QUICK = ["--hidden-size", "4", "--epochs", "1", "--batch-size", "8", "--patience", "1"]
TEXTS = ["정말 재미있다", "최고의 영화", "so good", "정말 지루하다", "최악의 영화", "so bad"] * 4
LABELS = ["good", "good", "good", "bad", "bad", "bad"] * 4


@dataclass(frozen=True)
class Seed:
    """A valid file.

    Attributes:
        name: of the file.
        write: writes it into a folder, with the files that it needs.
        commands: each reads the file; `fit` ones get `QUICK` and `--out`.
        damaged: the file to damage, if it is not the one of the command.
    """

    name: str
    write: Callable[[Path], object]
    commands: tuple[tuple[str, ...], ...]
    damaged: str = ""


def _table(rows: list[tuple], separator: str = ",") -> str:
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


REVIEWS = _table([("text", "label"), *zip(TEXTS, LABELS, strict=True)])
SALES = _table(
    [("day", "shop", "sold", "promotion")]
    + [(str(np.datetime64("2024-01-01") + d), s, 10 + d % 7, d % 2) for s in "AB" for d in range(56)]
)
LONG = _table(
    [("id", "t", "speed", "brake", "driver", "weight")]
    + [(i, t, round(np.sin(i + t), 3), t % 3, "xy"[i % 2], i / 4) for i in range(12) for t in range(6)]
)
TAGGED = "".join(f"# sent_id = {i}\n1\t그\tDET\n2\tfilm\tNOUN\n3\t좋다\tVERB\n\n" for i in range(12))
CONLLU = "".join(
    f"# sent_id = {i}\n1\t그\t그\tDET\tMM\t_\t2\tdet\t_\t_\n2\tfilm\tfilm\tNOUN\tNN\t_\t0\troot\t_\t_\n\n"
    for i in range(12)
)
SERIES = (
    "@problemName demo\n@timestamps false\n@univariate false\n@equalLength false\n@classLabel true a b\n@data\n"
    + "".join(
        f"{','.join(f'{np.sin(i + t):.3f}' for t in range(5 + i % 3))}:{','.join('1' * (5 + i % 3))}:{'ab'[i % 2]}\n"
        for i in range(12)
    )
)
PAIRS = _table([("en", "ko"), *[(f"good film {i}", f"좋은 영화 {i}") for i in range(20)]], "\t")


def _npz(path: Path) -> None:
    random = np.random.default_rng(0)
    np.savez_compressed(path, X=random.normal(size=(12, 6, 2)).astype(np.float32), y=np.arange(12) % 2)


def _wav(folder: Path, name: str = "a.wav", seed: int = 0) -> None:
    import soundfile

    samples = 0.1 * np.random.default_rng(seed).normal(size=2000)
    soundfile.write(folder / name, samples, 8000, subtype="PCM_16")


def _recordings(folder: Path, suffix: str) -> None:
    for number in range(8):
        _wav(folder, f"{number}.{suffix}", number)
    rows = [(f"{n}.{suffix}", "ab"[n % 2], "one two"[: 3 + n % 4]) for n in range(8)]
    (folder / "list.csv").write_text(_table([("path", "label", "text"), *rows]))


def _parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": TEXTS, "label": LABELS}), path)


def _jsonl() -> str:
    return "".join(
        json.dumps({"text": t, "label": y}, ensure_ascii=False) + "\n" for t, y in zip(TEXTS, LABELS, strict=True)
    )


def _lines(path: Path) -> None:
    path.write_text("\n".join(TEXTS * 3), encoding="utf-8")
    path.with_name("blanks.txt").write_text("a [ ] film\n", encoding="utf-8")


def _text(content: str, encoding: str = "utf-8") -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content.encode(encoding))


CLASSIFY = ("fit", "classify", "FILE", "--input", "text", "--target", "label")
FORECAST = (
    "fit",
    "forecast",
    "FILE",
    "--time",
    "day",
    "--target",
    "sold",
    "--id",
    "shop",
    "--horizon",
    "3",
    "--context",
    "6",
)
LONG_FIT = ("fit", "classify", "FILE", "--id", "id", "--time", "t", "--features", "speed,brake", "--target", "driver")
REGRESS = ("fit", "regress", "FILE", "--id", "id", "--features", "speed", "--target", "weight")
STEPS = ("fit", "tag", "FILE", "--id", "id", "--time", "t", "--features", "speed,weight", "--target", "brake")
SERIES_FIT = ("fit", "classify", "FILE")
SPEECH = ("fit", "transcribe", "list.csv", "--input", "path", "--target", "text")

SEEDS: dict[str, Seed] = {
    seed.name: seed
    for seed in (
        Seed("reviews.csv", _text(REVIEWS), (CLASSIFY,)),
        Seed("reviews_cp949.csv", _text(REVIEWS, "cp949"), (CLASSIFY,)),
        Seed("reviews_utf16.tsv", _text(REVIEWS.replace(",", "\t"), "utf-16"), (CLASSIFY,)),
        Seed("reviews.csv.gz", lambda path: path.write_bytes(gzip.compress(REVIEWS.encode(), mtime=0)), (CLASSIFY,)),
        Seed("reviews.jsonl", _text(_jsonl()), (CLASSIFY,)),
        Seed("reviews.parquet", _parquet, (CLASSIFY,)),
        Seed("sales.csv", _text(SALES), (FORECAST, (*FORECAST, "--known", "promotion", "--fill-gaps"))),
        Seed("long.csv", _text(LONG), (LONG_FIT, REGRESS, STEPS)),
        Seed("series.ts", _text(SERIES), (SERIES_FIT,)),
        Seed("series.npz", _npz, (SERIES_FIT,)),
        Seed("tagged.conll", _text(TAGGED), (("fit", "tag", "FILE"),)),
        Seed("tagged.conllu", _text(CONLLU), (("fit", "tag", "FILE"),)),
        Seed("pairs.tsv", _text(PAIRS), (("fit", "translate", "FILE", "--source", "en", "--target", "ko"),)),
        Seed(
            "lines.txt",
            _lines,
            (("fit", "generate", "FILE", "--bptt", "8"), ("fit", "fill", "FILE")),
        ),
        Seed(
            "wav",
            lambda path: _recordings(path.parent, "wav"),
            (("fit", "classify", "list.csv", "--input", "path", "--target", "label"), SPEECH),
            "0.wav",
        ),
        Seed("flac", lambda path: _recordings(path.parent, "flac"), (SPEECH,), "0.flac"),
        Seed(
            "ogg",
            lambda path: _ogg(path.parent),
            (("fit", "classify", "list.csv", "--input", "path", "--target", "label"),),
            "0.ogg",
        ),
    )
}


def _ogg(folder: Path) -> None:
    import soundfile

    for number in range(8):
        samples = 0.1 * np.random.default_rng(number).normal(size=2000)
        soundfile.write(folder / f"{number}.ogg", samples, 8000, format="OGG", subtype="VORBIS")
    rows = [(f"{n}.ogg", "ab"[n % 2]) for n in range(8)]
    (folder / "list.csv").write_text(_table([("path", "label"), *rows]))


def inside(name: str, content: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Unpacks a compressed file, so that its content can be damaged; and packs the damaged content again."""
    if name.endswith(".gz"):
        return gzip.decompress(content), lambda data: gzip.compress(data, mtime=0)
    if name.endswith(".xz"):
        return lzma.decompress(content), lzma.compress
    if name.endswith(".npz"):
        import zipfile

        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        first = next(iter(members))

        def pack(data: bytes) -> bytes:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as changed:
                for member, value in members.items():
                    changed.writestr(member, data if member == first else value)
            return buffer.getvalue()

        return members[first], pack
    return content, lambda data: data


MODELS: dict[str, tuple[str, list[str], list[list[str]]]] = {
    # task: seed file, further arguments of fit, commands on the model M and the seed file F
    "classify": ("reviews.csv", [], [["predict", "M", "F", "--proba"], ["evaluate", "M", "F"], ["health", "M", "F"]]),
    "series": ("series.ts", [], [["predict", "M", "F", "--proba"], ["evaluate", "M", "F", "--json"]]),
    "regress": ("long.csv", [], [["predict", "M", "F"], ["evaluate", "M", "F"]]),
    "tag": ("tagged.conllu", [], [["predict", "M", "F"], ["evaluate", "M", "F"]]),
    "steps": ("long.csv", [], [["predict", "M", "F", "--keep", "id"], ["evaluate", "M", "F"], ["health", "M", "F"]]),
    "forecast": ("sales.csv", [], [["predict", "M", "F"], ["evaluate", "M", "F"]]),
    "generate": ("lines.txt", [], [["generate", "M", "--length", "5"], ["evaluate", "M", "F"]]),
    "translate": ("pairs.tsv", [], [["predict", "M", "F"]]),
    "fill": ("lines.txt", [], [["predict", "M", "blanks.txt"]]),
    "transcribe": ("wav", [], [["evaluate", "M", "list.csv"], ["predict", "M", "0.wav"]]),
}
"""One trained model for each task; `series` and `steps` are further kinds of `classify` and `tag`."""


def fit_command(task: str) -> list[str]:
    """The command that trains the model of `MODELS` in a folder that holds its seed file."""
    name = MODELS[task][0]
    commands = SEEDS[name].commands
    verb = {"series": "classify", "steps": "tag"}.get(task, task)
    command = next(c for c in commands if c[1] == verb)
    return [name if word == "FILE" else word for word in command] + [*QUICK, "--out", "m"]
