"""Attribution: how much each step of the input drove the prediction."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra._util.html import html_marked, html_note
from recurra._util.messages import readable
from recurra._util.plotting import BLUE, VERMILION
from recurra.errors import UsageError
from recurra.inspect.core.layer_input import LayerInput, by_step
from recurra.inspect.core.registry import Measure, PageLayers, Section, Text, register
from recurra.inspect.core.results import JsonResult
from recurra.inspect.core.subject import subject_of
from recurra.tasks.subject import Subject

from .sanity import Sanity, check_sanity

if TYPE_CHECKING:
    import xarray


class Question(NamedTuple):
    """Input of an attribution method.

    Attributes:
        layer_input: the model as a function of the input of its recurrent layer; `layer_input.values` is this input.
        baseline: the reference input, in the shape of the input `(batch, time, features)`.
        steps: points on the path from the baseline to the input.
    """

    layer_input: LayerInput
    baseline: Tensor
    steps: int


Method = Callable[[Question], Tensor]
"""Returns the attribution of each step `(batch, time)`, or of each of its features `(batch, time, features)`."""


def attribute(
    model: Any,
    x: Any = None,
    *,
    method: str | Method = "integrated_gradients",
    baseline: str | Tensor = "zeros",
    steps: int = 32,
    layer: str | None = None,
    lengths: Any = None,
    score: Callable[[Any], Tensor] | None = None,
) -> Attribution:
    """Measures how much each step of the input supports the prediction.

    Attributions refer to the input of the first recurrent layer (after an embedding), so the methods are the same for
    words, series and audio. The model runs in evaluation mode.

    | method | attribution of step t |
    |---|---|
    | `"integrated_gradients"` | (x_t − b_t) · mean of ∂score/∂x_t from b to x (Sundararajan and others 2017) |
    | `"gradient_x_input"` | (x_t − b_t) · ∂score/∂x_t: integrated gradients with one point, at x |
    | `"saliency"` | ‖∂score/∂x_t‖, without a sign (Simonyan and others 2014) |
    | `"occlusion"` | score − score with x_t replaced by b_t (Zeiler and Fergus 2014) |
    | `"removal"` | score − score of the sequence without the step, for models with one prediction per sequence |

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        x: for an estimator, sequences as its `predict` takes them; for a module, the tensor that it is called with; or
            a `Subject`.
        method: one of these names, or a function from a `Question` to a tensor `(batch, time)` or
            `(batch, time, features)`.
        baseline: b, the reference input: `"zeros"`, `"mean"` (of the input over all steps of `x` without padding) or
            a tensor that broadcasts to `(batch, time, features)`.
        steps: number of points of integrated gradients (Gauss–Legendre quadrature). Models with `relu` or max pooling
            need more. `Attribution.completeness` shows whether there are enough.
        layer: name of the recurrent layer whose input is attributed. None for the first layer that the model calls and
            that runs over the steps of the inputs.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        score: converts the output of the model to one number per sequence `(batch,)`, such as
            `lambda output: output[:, 2]` for the third class; None for the score of the subject.

    Raises:
        UsageError: the model has no recurrent layer, or an argument is not supported.
        DataError: `x` cannot be used.

    Example:
        In a model that sums its input, the attribution of each step is the value that it adds.

        >>> import torch
        >>> from recurra.inspect import attribute
        >>> layer = torch.nn.RNN(1, 1, nonlinearity="relu", bias=False, batch_first=True)
        >>> _ = [torch.nn.init.ones_(weight) for weight in layer.parameters()]
        >>> attribute(layer, torch.tensor([[[1.0], [2.0], [4.0]]])).values.values.round(4).tolist()
        [[1.0, 2.0, 4.0]]
    """
    subject = subject_of(model, x, lengths=lengths)
    if score is not None:
        subject = dataclasses.replace(subject, score=score, score_name="score")
    layer_input = LayerInput(subject, layer)
    if isinstance(method, str) and method not in METHODS:
        raise UsageError(f"method is one of {', '.join(METHODS)}, or a function; not {method!r}")
    if steps < 1:
        raise UsageError(f"steps must be at least 1, got {steps}")
    question = Question(layer_input, _baseline(layer_input, baseline), steps)
    function = METHODS[method] if isinstance(method, str) else method
    raw = _checked(function(question).detach(), layer_input)
    with torch.no_grad():
        before, nothing = layer_input.scores(torch.stack([layer_input.values, question.baseline])).cpu().numpy()
    summed = raw if raw.dim() == 2 else raw.sum(-1)
    name = method if isinstance(method, str) else getattr(method, "__name__", "own method")
    about = {"method": name, "baseline": baseline if isinstance(baseline, str) else "given"}
    about |= {"score": subject.score_name, "layer": layer_input.call.name or "layer"}
    return Attribution(
        layer_input.by_step(summed, "attribution", **about),
        None if raw.dim() == 2 else _by_feature(layer_input, raw),
        before,
        nothing,
        subject,
        question,
        function,
    )


class Completeness(NamedTuple):
    """Comparison of the sum of the attributions with the score difference that they explain.

    Attributes:
        total: sum of the attributions of each sequence, `(batch,)`.
        difference: score of the input minus score of the baseline, `(batch,)`.
        gap: largest absolute difference between the two.

    Example:
        In a model that sums its input, the attributions explain the whole difference of the scores.

        >>> import torch
        >>> from recurra.inspect import attribute
        >>> layer = torch.nn.RNN(1, 1, nonlinearity="relu", bias=False, batch_first=True)
        >>> _ = [torch.nn.init.ones_(weight) for weight in layer.parameters()]
        >>> found = attribute(layer, torch.tensor([[[1.0], [2.0]]])).completeness
        >>> found.total.round(4).tolist(), found.difference.tolist(), found.gap < 1e-4
        ([3.0], [3.0], True)
    """

    total: np.ndarray
    difference: np.ndarray
    gap: float


@dataclass(frozen=True, repr=False)
class Attribution(JsonResult):
    """Attribution of each step. A positive value supports the prediction, a negative value opposes it.

    Attributes:
        values: `(batch, time)`, NaN in the padding, in the unit of the score; texts have the coordinate `token`.
        by_feature: attribution of each feature, `(batch, time, feature)`, if the method provides it.
        score: score of each sequence, `(batch,)`.
        baseline_score: score of the baseline, `(batch,)`.
        subject: the model and its inputs.
        question: input of the method.
        function: the method.

    Example:
        `METHODS` has the methods by name.

        >>> import torch
        >>> from recurra.inspect import METHODS, attribute
        >>> list(METHODS)
        ['integrated_gradients', 'gradient_x_input', 'saliency', 'occlusion', 'removal']
        >>> found = attribute(torch.nn.GRU(2, 4, batch_first=True), torch.randn(3, 9, 2), method="occlusion")
        >>> found.method, found.values.dims, found.score.shape
        ('occlusion', ('batch', 'time'), (3,))
    """

    values: xarray.DataArray
    by_feature: xarray.DataArray | None
    score: np.ndarray
    baseline_score: np.ndarray
    subject: Subject
    question: Question
    function: Method

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.values.attrs["method"]

    @property
    def completeness(self) -> Completeness:
        """The sum of the attributions and the score difference. For integrated gradients they are equal.

        It does not apply to saliency, which has no sign.
        """
        total = np.nansum(self.values.values, axis=1)
        difference = self.score - self.baseline_score
        return Completeness(total, difference, float(np.abs(total - difference).max(initial=0)))

    def sanity(self, draws: int = 10, seed: int = 0) -> Sanity:
        """Rank correlation of the attributions with those of the same model with random weights; see `Sanity`."""
        return check_sanity(lambda: self.function(self.question), self.values, self.subject.network, draws, seed)

    def words(self, row: int = 0) -> list[tuple[str, float]]:
        """The attributions of the words of one text: for each word the sum over its tokens.

        Raises:
            UsageError: the input is not text.
        """
        tokens = self._tokens(row)
        if tokens is None:
            raise UsageError("the steps of this input are not tokens of a text")
        numbers = list(range(len(tokens))) if self.subject.words is None else self.subject.words[row]
        texts, sums = [""] * (max(numbers, default=-1) + 1), [0.0] * (max(numbers, default=-1) + 1)
        for number, token, value in zip(numbers, tokens, self._row(row), strict=True):
            texts[number] += token
            sums[number] += float(value)
        return [(text.strip() or " ", value) for text, value in zip(texts, sums, strict=True)]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row for each step of each sequence: `batch time token attribution`."""
        for b in range(self.values.sizes["batch"]):
            tokens, found = self._tokens(b), self._row(b)
            for t, value in enumerate(found.tolist()):
                yield {"batch": b, "time": t, "token": None if tokens is None else tokens[t], "attribution": value}

    def to_dict(self) -> dict[str, Any]:
        """All fields as numbers and strings."""
        count = self.values.sizes["batch"]
        return {
            **self.values.attrs,
            "scores": self.score.tolist(),
            "baseline_scores": self.baseline_score.tolist(),
            "completeness_gap": self.completeness.gap,
            "tokens": None if self._tokens(0) is None else [self._tokens(b) for b in range(count)],
            "attributions": [self._row(b).tolist() for b in range(count)],
        }

    def __repr__(self) -> str:
        """The first sequences by words or steps."""
        lines = [self._heading]
        for said, pairs in self._first():
            lines.append(said)
            lines.append("  " + "  ".join(f"{word} {readable(value, 3, signed=True)}" for word, value in pairs[:40]))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The same, with words or steps on a background of their value: blue supports the prediction."""
        rows = (html_note(said) + html_marked(pairs, (BLUE, VERMILION)) for said, pairs in self._first())
        return html_note(self._heading) + "".join(rows)

    @property
    def _heading(self) -> str:
        attributes = self.values.attrs
        return f"Attribution ({self.method}, {attributes['score']}, baseline {attributes['baseline']})"

    def _first(self) -> Iterator[tuple[str, list[tuple[str, float]]]]:
        """Yields score and values of the first sequences, by words or steps."""
        for b in range(min(3, self.values.sizes["batch"])):
            answer = f" {self.subject.answers[b]}" if self.subject.answers else ""
            said = (
                f"[{b}]{answer}: score {readable(self.score[b], 3)}, "
                f"of the baseline {readable(self.baseline_score[b], 3)}"
            )
            steps = [(str(t), value) for t, value in enumerate(self._row(b).tolist())]
            yield said, steps if self._tokens(b) is None else self.words(b)

    def _row(self, row: int) -> np.ndarray:
        return self.values.values[row, : int(self.values["length"][row])]

    def _tokens(self, row: int) -> list[str] | None:
        if "token" not in self.values.coords:
            return None
        return self.values["token"].values[row, : int(self.values["length"][row])].tolist()


def _checked(raw: Tensor, layer_input: LayerInput) -> Tensor:
    shape = tuple(layer_input.values.shape)
    if tuple(raw.shape) not in (shape, shape[:2]):
        raise UsageError(f"the method must return a tensor {shape[:2]} or {shape}, it returned {tuple(raw.shape)}")
    mask = layer_input.mask if raw.dim() == 2 else layer_input.mask.unsqueeze(-1)
    return raw.masked_fill(~mask, 0)


def _by_feature(layer_input: LayerInput, raw: Tensor) -> xarray.DataArray:
    beyond = raw.masked_fill(~layer_input.mask.unsqueeze(-1), torch.nan)
    return by_step(layer_input.subject, layer_input.call.part, beyond, layer_input.lengths, "attribution")


def _baseline(layer_input: LayerInput, baseline: str | Tensor) -> Tensor:
    values, mask = layer_input.values, layer_input.mask.unsqueeze(-1)
    if isinstance(baseline, Tensor):
        try:
            found = baseline.to(values).expand(values.shape)
        except RuntimeError:
            raise UsageError(
                f"a baseline of shape {tuple(baseline.shape)} does not fit an input of shape {tuple(values.shape)}"
            ) from None
    elif baseline == "zeros":
        found = torch.zeros_like(values)
    elif baseline == "mean":
        found = (values.sum((0, 1)) / mask.sum().clamp(min=1)).expand(values.shape)
    else:
        raise UsageError(f"baseline is 'zeros', 'mean' or a tensor, not {baseline!r}")
    return found.masked_fill(~mask, 0)


# the methods


def _integrated(question: Question) -> Tensor:
    layer_input, way = question.layer_input, question.layer_input.values - question.baseline
    points, shares = np.polynomial.legendre.leggauss(question.steps)
    points, shares = (points + 1) / 2, shares / 2  # from [-1, 1] to [0, 1]
    mean = torch.zeros_like(way)
    for chosen in _groups(question.steps, layer_input.at_once):
        at = way.new_tensor(points[chosen]).view(-1, 1, 1, 1)
        share = way.new_tensor(shares[chosen]).view(-1, 1, 1, 1)
        mean += (share * layer_input.gradients(question.baseline + at * way)).sum(0)
    return way * mean


def _times_input(question: Question) -> Tensor:
    layer_input = question.layer_input
    return (layer_input.values - question.baseline) * layer_input.gradients(layer_input.values[None])[0]


def _saliency(question: Question) -> Tensor:
    return question.layer_input.gradients(question.layer_input.values[None])[0].norm(dim=-1)


def _occlusion(question: Question) -> Tensor:
    layer_input, (batch, steps) = question.layer_input, question.layer_input.values.shape[:2]
    found = layer_input.values.new_zeros(batch, steps)
    with torch.no_grad():
        whole = layer_input.scores(layer_input.values[None])
        for chosen in _groups(steps, layer_input.at_once):
            variants = layer_input.values.repeat(len(chosen), 1, 1, 1)
            for variant, t in zip(variants, chosen, strict=True):
                variant[:, t] = question.baseline[:, t]
            found[:, chosen.start : chosen.stop] = (whole - layer_input.scores(variants)).T
    return found


def _removal(question: Question) -> Tensor:
    layer_input, subject = question.layer_input, question.layer_input.subject
    batch, (count, steps) = subject.batch, layer_input.values.shape[:2]
    first = getattr(subject.network, "batch_first", True)
    if not subject.any_length or not first or batch.values.shape[:2] != (count, steps):
        raise UsageError(
            "removal is for models with one prediction per sequence that read one step of the input at a time; use "
            "method='occlusion'"
        )
    if layer_input.call.lengths is None and steps < 2:
        raise UsageError("the only step of a sequence cannot be removed; use method='occlusion'")
    found = layer_input.values.new_zeros(count, steps)
    with torch.no_grad():
        whole = subject.scores()
        for t in range(steps):
            rest = torch.tensor([s for s in range(steps) if s != t], dtype=torch.long)
            lengths = None if batch.lengths is None else batch.lengths - (batch.lengths > t).to(batch.lengths.dtype)
            values = batch.values[:, rest.to(batch.values.device)]
            if not len(rest):  # empty for a batch of single steps
                values = torch.zeros_like(batch.values)
            found[:, t] = whole - subject.scores(batch._replace(values=values, lengths=lengths))
    return found


def _groups(count: int, size: int) -> Iterator[range]:
    for begin in range(0, count, size):
        yield range(begin, min(begin + size, count))


METHODS: dict[str, Method] = {
    "integrated_gradients": _integrated,
    "gradient_x_input": _times_input,
    "saliency": _saliency,
    "occlusion": _occlusion,
    "removal": _removal,
}
"""The methods by name."""

SECTION_POINTS, SECTION_GAP, SECTION_WORK = (32, 128, 512), 0.05, 64_000
"""Limits for the report page. Integrated gradients use more points until the relative gap is small enough, or until the
number of steps times points exceeds the limit of work."""


def _compute_section(subject: Subject) -> Attribution:
    """Computes integrated gradients with enough points to make the gap small."""
    for points in SECTION_POINTS[:-1]:
        found = attribute(subject, steps=points)
        explained = np.abs(found.completeness.difference).max(initial=0)
        if found.completeness.gap <= SECTION_GAP * explained or found.values.sizes["time"] * points > SECTION_WORK:
            return found
    return attribute(subject, steps=SECTION_POINTS[-1])


def _payload(found: Attribution, parts: PageLayers, row: int) -> dict[str, Any]:
    layer = found.values.attrs["layer"]
    name = next((n for n in parts if n == layer or (layer == "layer" and n == "")), None)
    if name is None:
        return {"why": "said", "text": f"the input of {layer} is not among the layers on the page"}
    values = found.values.values[row][parts[name]["time"].values]
    return {
        "part": name,
        "values": [round(float(v), 6) for v in values],
        "total": float(found.completeness.total[row]),
        "score": float(found.score[row]),
        "nothing": float(found.baseline_score[row]),
        "gap": found.completeness.gap,
        "points": found.question.steps,
        "unit": found.values.attrs["score"],
    }


register(
    Measure(
        attribute,
        Text("Which steps drove the prediction", "예측에 영향을 준 스텝"),
        Text(
            "How much each step of the input supports or opposes the prediction.",
            "입력의 각 스텝이 예측에 양(+) 또는 음(−)으로 기여한 정도입니다.",
        ),
        Section("attribution", _compute_section, _payload, Path(__file__).with_name("attribution.js")),
    )
)
