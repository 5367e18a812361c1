"""`recurra export` writes a file, or says why it cannot."""

from __future__ import annotations

import onnx
import pytest

from recurra import SequenceRegressor


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with two models; only `forward` can run step by step."""
    folder = tmp_path_factory.mktemp("models")
    for name, both in (("forward", False), ("both", True)):
        estimator = SequenceRegressor(hidden_size=3, epochs=1, verbose=0, bidirectional=both, pooling="last")
        estimator.fit([[1.0, 2.0], [3.0, 4.0, 5.0]] * 6, [1.0, 2.0] * 6).save(folder / name)
    return folder


def test_writes_a_file(models, recurra, tmp_path):
    code, _, said = recurra("export", models / "forward", "--out", "level.c")
    size = (tmp_path / "level.c").stat().st_size
    assert (code, said) == (0, f"level.c: {size:,} bytes\n")
    assert recurra("export", models / "forward", "--format", "c", "--int8", "--out", "level.c")[0] == 0
    assert "int8_t" in (tmp_path / "level.c").read_text(encoding="utf-8")
    assert recurra("export", models / "both", "--out", "level.onnx", "--int8", "--opset", "18")[0] == 0
    assert onnx.load(tmp_path / "level.onnx").opset_import[0].version == 18
    for options, given in (([], True), (["--required-inputs"], False)):
        assert recurra("export", models / "forward", "--out", "level.onnx", *options)[0] == 0
        weights = [value.name for value in onnx.load(tmp_path / "level.onnx").graph.initializer]
        assert ("state.hidden.0" in weights) == given


@pytest.mark.parametrize(
    ("model", "options", "code", "message"),
    [
        ("both", ["--out", "level.c"], 2, "a bidirectional model reads the whole sequence"),
        ("forward", ["--out", "level.xyz"], 2, "names no format"),
        ("forward", ["--out", "level.c", "--opset", "17"], 2, "not of the format c"),
        ("both", ["--out", "level.onnx", "--opset", "3"], 2, "opset is from 17 to"),
        ("missing", ["--out", "level.c"], 4, "missing"),
    ],
)
def test_errors(models, recurra, tmp_path, model, options, code, message):
    found, shown, said = recurra("export", models / model, *options)
    assert (found, shown) == (code, "")
    assert message in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
