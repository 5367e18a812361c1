"""Numbers and names in the documentation are those of the code."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from recurra import Forecaster, LanguageModel, SequenceClassifier, SequenceRegressor, SequenceTagger, Translator
from recurra._util import strict_json
from recurra.bench import gate
from recurra.cli.tasks import FILES
from recurra.data.columns.numbers import MISSING
from recurra.data.columns.times.formats import formats_of
from recurra.data.columns.timestamps import parse_times
from recurra.data.encoders import logmel, words
from recurra.data.files import audio, packed
from recurra.errors import DataError, EngineError, ModelFolderError, UsageError
from recurra.io import folder
from recurra.lab import vanishing
from recurra.lab.network import build as network_of
from recurra.lab.problems import PROBLEMS
from recurra.tasks import ESTIMATORS, base, baselines, counts, params
from recurra.tasks.fill import blanks
from recurra.tasks.fill.estimator import Prediction
from recurra.tasks.forecast import estimator as forecast
from recurra.tasks.forecast.objective import ForecastObjective
from recurra.tasks.generate.network import NextToken
from recurra.tasks.many_to_one import classify, regress
from recurra.tasks.many_to_one import estimator as pooled
from recurra.tasks.many_to_one.network import PooledNetwork
from recurra.tasks.many_to_one.simple import fit as simple
from recurra.tasks.tag import estimator as tag
from recurra.tasks.tag.network import Tagging
from recurra.tasks.transcribe.network import CTCObjective
from recurra.tasks.translate import estimator as translate
from recurra.tasks.translate.objective import Translating
from recurra.training import loop
from recurra.training.callbacks import TINY_LOSS
from recurra.training.health import thresholds as signs

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "decisions"


def text(name: str) -> str:
    return " ".join((DECISIONS / name).read_text(encoding="utf-8").split())


def network(embedding_size: int) -> PooledNetwork:
    torch.manual_seed(0)
    return PooledNetwork(5, embedding_size, 2, pooling="max", dropout=0.0, cell="lstm", hidden_size=16)


def test_series_begin_as_decision_5_says():
    assert "orthogonal recurrent weights lose too much" in text("0005-series-defaults.md")
    layer = network(0).encoder.recurrent
    assert bool((layer.bias_hh_l0[16:32] == 1).all())
    for rows in layer.weight_hh_l0.detach().split(16):
        assert not torch.allclose(rows @ rows.T, torch.eye(16), atol=1e-3)
    assert not bool((network(4).encoder.recurrent.bias_hh_l0[16:32] == 1).any())  # texts begin as torch begins


def test_training_lasts_as_decision_5_says():
    found = re.search(r"at least ([\d,]+) steps, at most (\d+) epochs", text("0005-series-defaults.md"))
    assert found is not None
    assert [int(number.replace(",", "")) for number in found.groups()] == [base.MIN_STEPS, base.MAX_EPOCHS]
    assert f"fewer than {pooled.SMALL} sequences" in text("0005-series-defaults.md")


@pytest.mark.parametrize("parameter", ["bidirectional", "pooling", "dropout", "batch_size", "validation_fraction"])
def test_the_table_of_defaults_is_that_of_the_code(parameter):
    row = re.search(rf"\| {parameter} \| (.*?) \| (.*?) \| (.*?) \|", inspect.getdoc(SequenceClassifier) or "")
    assert row is not None
    for cell, kind in zip(row.groups(), ("text", "series", "audio"), strict=True):
        value, *others = re.split("; ", cell)
        assert value == str(SequenceClassifier.defaults[kind][parameter])
        for other in others:
            if number := re.fullmatch(r"regression (.*)", other):
                assert number[1] == str(SequenceRegressor.defaults[kind][parameter])
            else:
                assert other == f"of fewer than {pooled.SMALL}, 0 for classes and 0.2 for numbers"
                assert (SequenceClassifier.held_out_of_few, SequenceRegressor.held_out_of_few) == (0, 0.2)


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (SequenceTagger, f"at most {tag.MAX_CRF_TAGS} different tags"),
        (Forecaster, f"of at most {forecast.EPOCH_BATCHES} batches each"),
    ],
)
def test_limits_in_docstrings(estimator, sentence):
    assert sentence in " ".join((inspect.getdoc(estimator) or "").split())


def test_the_learning_rate_rises_as_its_docstring_says():
    from recurra.training.settings import Settings

    assert f"first {loop.WARM_UP:.0%} of the steps".replace("%", " %") in " ".join((Settings.__doc__ or "").split())


def guide(name: str) -> str:
    return " ".join((ROOT / "docs" / "guides" / name).read_text(encoding="utf-8").split())


def limits() -> str:
    return " ".join((ROOT / "docs" / "limits.md").read_text(encoding="utf-8").split())


def parameters(estimator: type) -> set[str]:
    """Names under `Args:` in a docstring."""
    arguments = (inspect.getdoc(estimator) or "").partition("Args:")[2].partition("\n\n")[0]
    return set(re.findall(r"^ {4}(\w+): ", arguments, re.M))


@pytest.mark.parametrize("estimator", ESTIMATORS.values())
def test_every_parameter_is_described(estimator):
    known = {field.name for field in dataclasses.fields(estimator)}
    own, shared = parameters(estimator), parameters(SequenceClassifier)
    assert own <= known
    assert known <= own | shared
    text = " ".join((inspect.getdoc(estimator) or "").split())
    assert known == own or "SequenceClassifier`" in text


@pytest.mark.parametrize("estimator", [SequenceClassifier, Forecaster, LanguageModel, Translator])
def test_the_length_of_training_in_docstrings(estimator):
    text = " ".join((inspect.getdoc(estimator) or "").split())
    sentence = f"None for {base.MIN_EPOCHS}, or more on small data: at least {estimator.min_steps:,} steps, "
    assert sentence + f"at most {base.MAX_EPOCHS} passes" in text
    assert "With `epochs=None` it is at least a fifth of the epochs" in text


def test_patience_is_as_documented():
    text = " ".join((inspect.getdoc(SequenceClassifier) or "").split())
    assert "With `epochs=None` it is at least a fifth of the epochs, for numeric series half." in text
    X, y = [[[0.0]], [[1.0]]] * 4, ["a", "b"] * 4
    model = SequenceClassifier(epochs=1, hidden_size=2, verbose=0).fit(X, y)
    assert (base.Estimator._patience(model), model._patience()) == (1 / 5, 1 / 2)


def test_defaults_of_translation():
    text, translator = guide("translate.md"), Translator()
    assert (
        f"by default at least {Translator.min_steps:,} steps and {base.MIN_EPOCHS} passes, at most {base.MAX_EPOCHS}"
        in text
    )
    assert f"epochs without a better BLEU: {translator.n_iter_no_change} by default" in text
    assert f"by default the single characters of the text and {translate.PIECES:,} pieces" in text
    assert f"hypotheses of the beam search, {translator.beam_size} by default" in text
    assert f"contains up to {translator.neighbours:,} training pairs" in text
    assert f"greedy translations of up to {translate.WATCHED:,} validation sources" in text


def test_defaults_of_forecasting():
    text, forecaster = (ROOT / "docs/guides/forecast.md").read_text(encoding="utf-8"), Forecaster()
    rows = dict(re.findall(r"^\| `--([\w-]+)` \| ([^|]+) \|", text, re.M))
    assert int(rows["horizon"]) == forecaster.horizon
    assert tuple(map(float, rows["quantiles"].split(","))) == forecaster.quantiles
    assert (rows["decoding"], rows["loss"]) == (forecaster.decoding, forecaster.loss)
    assert int(rows["hidden-size"]) == forecaster.hidden_size


def test_spellings_of_times_in_the_guide_are_recognized():
    text = (ROOT / "docs/guides/forecast.md").read_text(encoding="utf-8")
    table = text.partition("### How times may be written")[2].partition("\n\nAll times")[0]
    before = {"clock": "2016-07-01 ", "offset": "2016-07-01 13:00"}
    rows = [row for row in re.findall(r"^\| ([\w, ]+) \| (.*) \|$", table, re.M) if "`" in row[1]]
    assert len(rows) == 8
    examples = [before.get(kind, "") + text for kind, cell in rows[:-1] for text in re.findall("`(.+?)`", cell)]
    assert [text for text in examples if not formats_of(text)] == []
    years = parse_times(pa.array(["31/01/69", "31/01/68"]), name="time", where=str).values
    assert "**Two-digit years** are 1969 to 2068" in text
    assert years.astype("datetime64[Y]").astype(str).tolist() == ["1969", "2068"]


def test_marks_of_missing_values_in_the_guide():
    marks = re.search(r"an empty cell, (.*?), in upper or lower case", guide("files.md"))
    assert marks is not None
    assert {"", *re.findall("`(.+?)`", marks[1].lower())} == set(MISSING)


def test_files_that_the_guide_names_are_no_texts():
    table = (
        (ROOT / "docs/guides/files.md").read_text(encoding="utf-8").partition("## Formats")[2].partition("\n\nText")[0]
    )
    suffixes = set(re.findall(r"`(\.\w+)`", table))
    assert set(audio.SUFFIXES) < suffixes <= set(FILES)


def test_limits_are_those_of_the_code():
    said = limits()
    for sentence in (
        f"a CRF takes at most {tag.MAX_CRF_TAGS} tags",
        f"words longer than {words.LONGEST} characters",
        f"at most {blanks.MAX_BLANKS} blanks a text",
        f"Sample rates are {audio.MIN_RATE:,} to {audio.MAX_RATE_HZ:,} Hz",
        f"may expand to {packed.FREE_BYTES >> 20} MB, or to {packed.MAX_EXPANSION} times their size",
        f"at most {folder.max_bytes('a.json') >> 20} MB and {strict_json.MAX_VALUES // 10**6} million values in each",
        f"{folder.max_bytes('a.txt') >> 20} MB in each other text file",
        f"at most {params.MAX_SIZE:,} units, {params.MAX_LAYERS} layers",
        f"{tag.MAX_SCHEME_TAGS:,} tags of a span scheme",
        f"fitted on at most {simple.MAX_ROWS:,} sequences",
        f"{simple.MAX_VALUES['text']:,} tokens or {simple.MAX_VALUES['series']:,} numbers together",
        f"at most {simple.MAX_WEIGHTS:,} weights",
        f"counted over {counts.MAX_TOKENS:,} tokens; the {counts.MAX_PAIRS:,} most frequent pairs and the "
        f"{counts.MAX_TRIPLES:,} most frequent sequences of three are kept",
    ):
        assert sentence in said
    assert "at most 2²⁸ samples" in said
    assert audio.MAX_SAMPLES == 2**28


def test_spectra_are_as_the_guide_says():
    bands = "80 bands at 16,000 Hz and 40 at lower rates (32 or fewer below 5,160 Hz)"
    assert bands in guide("audio.md")
    assert [logmel.bands_of(rate) for rate in (16_000, 15_999, 5_160, 5_159)] == [80, 40, 40, 32]
    assert (logmel.WINDOW, logmel.HOP, pooled.AUDIO_FRAMES) == (0.025, 0.01, 3)


@pytest.mark.parametrize(
    ("name", "sign", "cell"),
    [
        ("saturation", signs.SATURATION, "60 %, 70 %"),
        ("dead units", signs.DEAD, "10 %, 50 %"),
        ("spectral radius", signs.RADIUS, "10, 30; relu 2, 3"),
        ("gradient reach", signs.REACH, "below 10 %, 4 %"),
        ("gradient growth", signs.GROWTH, "100, 10,000"),
        ("gradient norm", signs.GRADIENT, "100, 10,000; or none at all"),
        ("overfitting", signs.OVERFIT, "50 %"),
        ("new data", signs.NEW_DATA, "25 %"),
        ("update size, training gradient", signs.UPDATE, "20 %, 50 %; as above"),
    ],
)
def test_limits_of_health_are_those_of_the_code(name, sign, cell):
    row = re.search(rf"^\| {name} \| .* \| (.*?) \|$", (ROOT / "docs/guides/health.md").read_text("utf-8"), re.M)
    assert row is not None
    assert row[1] == cell
    bounds = sign.low if name == "gradient reach" else sign.high
    unit = 100 if sign.unit == "%" else 1
    numbers = [
        int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", cell.partition(";")[0].replace(", ", " "))
    ]
    assert numbers == [round(unit * bound) for bound in bounds if bound != signs.INF]


def test_the_lab_is_as_its_guide_says():
    given = inspect.signature(vanishing).parameters
    said = guide("lab.md")
    assert f"**As many parameters**, about {given['parameters'].default:,}" in said
    sizes = re.search(r"the RNN has (\d+) units, the GRU (\d+), the LSTM (\d+)", said)
    assert sizes is not None
    networks = [
        network_of(PROBLEMS["adding"], cell, given["parameters"].default, "torch", 10, 0)
        for cell in ("rnn", "gru", "lstm")
    ]
    assert [network.layer.hidden_size for network in networks] == [int(size) for size in sizes.groups()]
    *rates, last = map(str, given["learning_rates"].default)
    assert f"{', '.join(rates)} and {last}, one after the other" in said
    assert f"up to {given['steps'].default:,} steps with each" in said


def test_packages_stand_in_the_order_of_decision_1():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    packages = [
        name.removeprefix("recurra.") for name in contract["layers"][: contract["layers"].index("recurra.cells") + 1]
    ]
    assert f"`{' ← '.join(reversed(packages))}`" in text("0001-layers.md")


def test_defaults_of_texts_are_those_of_decision_2():
    model = SequenceClassifier()
    sentence = f'`tokens="{model.tokens}"`, `vocab_size={model.vocab_size}`, `token_dropout={model.token_dropout}`'
    assert sentence in text("0002-defaults.md")
    assert f"`{pooled.TEXT_DEFAULTS['pooling']}` is the default" in text("0002-defaults.md")


@pytest.mark.parametrize(
    ("file", "constant", "sentence"),
    [
        ("forward.h", "megabytes < 1 ? 12 : megabytes < 4 ? 24 : 36;", "Up to 12 tokens use unpacked weights (24 if"),
        ("forward.h", "kTogether = 96;", "the input products of about a hundred tokens"),
        ("forward.h", "kApart = int64_t(1) << 14;", "separate memory for each thread, 64 KiB apart"),
        ("backward.h", "kLeast = 512,", "large products over ranges of 512 tokens or more"),
        ("backward.h", "kRowsToCut = 8;", "Backward runs in two parts of the batch (from eight sequences on)"),
        ("backward_sums.h", "kParts = 2;", "Backward runs in two parts of the batch"),
        (
            "gemm.h",
            "kRows = RECURRA_VECTOR_BYTES >= 64 ? 6 : 3;",
            "six sequences with AVX-512 and eight units of three",
        ),
    ],
)
def test_the_engine_is_as_decision_4_says(file, constant, sentence):
    assert constant in (ROOT / "csrc" / "engine" / file).read_text(encoding="utf-8")
    assert sentence in text("0004-native-engine.md")


def test_stopping_is_as_decision_7_says():
    said, found = text("0007-baselines-and-stopping.md"), SequenceClassifier()
    assert f"{found.min_delta:g} by default" in said
    assert f"the validation loss is also at most {TINY_LOSS:g}" in said
    assert f"regression: {regress.SquaredError.perfect:.4f} of the variance" in said
    assert [task.perfect for task in (classify.CrossEntropy, Tagging, CTCObjective, Translating)] == [1, 1, 0, 100]
    assert [task.perfect for task in (NextToken, Prediction, ForecastObjective)] == [None] * 3
    assert "fewer than five items" in said
    assert baselines.FEWEST == 5


def test_results_are_compared_as_the_page_of_benchmarks_says():
    said = " ".join((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8").split())
    assert "within 5·10⁻⁴ of the greatest entry (bfloat16 and int8: 3·10⁻²)" in said
    assert (gate.TOLERANCE, gate.COARSE) == (5e-4, 3e-2)


def test_exit_codes_are_those_of_the_errors():
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", (ROOT / "docs/guides/runs.md").read_text("utf-8"), re.M)
    words = {number: meaning.partition(":")[0] for number, meaning in rows}
    kinds = {
        "usage": UsageError,
        "data": DataError,
        "model folder": ModelFolderError,
        "no device or engine": EngineError,
    }
    assert {word: int(number) for number, word in words.items() if word in kinds} == {
        word: error.exit_code for word, error in kinds.items()
    }


FOREIGN = {
    "--address",
    "--backend-store-uri",
    "--logdir",
    "--head",
    "--no-cache-dir",
    "--no-install-recommends",
    "--no-audit",
    "--no-fund",
    "--section-start",
    "--specs",
    "--help",
    "--help-all",
    "--build",
    "--only",
    "--output-on-failure",
    "--strict",
    "--test-dir",
    "--index-url",
    "--set",
    "--sets",
    "--seconds",
    "--single",
    "--train",
    "--onnxruntime",
}
"""Options of every command, of pip, CMake and twine, and of the scripts in `benchmarks`, `examples` and `tests`."""


def test_options_in_the_documentation_exist():
    import typer

    from recurra.cli.app import app

    def commands(command: Any) -> Iterator[Any]:
        yield command
        for one in getattr(command, "commands", {}).values():
            yield from commands(one)

    known = {
        option
        for command in commands(typer.main.get_command(app))
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    pages = [ROOT / "README.md", ROOT / "README.ko.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*\w", page.read_text(encoding="utf-8")))
        assert named - known - FOREIGN == set(), page.name


def test_names_in_the_documentation_exist():
    pages = [ROOT / "README.md", ROOT / "README.ko.md", *(ROOT / "docs").rglob("*.md")]
    names = {name for page in pages for name in re.findall(r"`(recurra(?:\.\w+)+)", page.read_text(encoding="utf-8"))}
    assert len(names) > 5
    for name in names:
        pkgutil.resolve_name(name)
