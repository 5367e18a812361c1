"""Service of translators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from recurra.data.columns.inputs import Texts
from recurra.errors import UsageError
from recurra.tasks.params import MAX_BEAMS
from recurra.tasks.serving.service import Options, TextService
from recurra.tasks.serving.stepper import Stepper

Beams = Annotated[int, msgspec.Meta(ge=1, le=MAX_BEAMS)]


class TranslateOptions(Options, frozen=True, kw_only=True):
    """Options of a translation.

    Attributes:
        beam: hypotheses of the search; None for the number that the model was trained with.
        n_best: number of translations of each text; None for the best one only.
    """

    beam: Beams | None = None
    n_best: Beams | None = None


class TranslateService(TextService):
    """Service of a translator. With `n_best` an answer also has the best translations as `candidates`."""

    Options = TranslateOptions

    def about(self) -> dict[str, Any]:
        """See `Service.about`."""
        model = self.estimator
        sizes = {"source": model.source_encoder_.input_size, "target": model.target_encoder_.input_size}
        return {"tokens": model.tokens, "vocabulary": sizes, "beam": model.beam_size}

    def answers(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """See `Service.answers`."""
        beams = max(options.beam or self.estimator.beam_size, options.n_best or 1)
        answers = []
        for found in self.estimator.candidates(Texts(items), beams):
            ranked = [{"translation": one.text, "score": one.score} for one in found[: options.n_best or 1]]
            answer: dict[str, Any] = dict(ranked[0])
            if options.n_best:
                answer["candidates"] = [{"rank": rank, **one} for rank, one in enumerate(ranked, 1)]
            answers.append(answer)
        return answers

    def rows(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns a row for each candidate, see `Service.rows`."""
        return answer.get("candidates") or [answer]

    def stepper(self) -> Stepper:
        """See `Service.stepper`."""
        raise UsageError("a translator reads the whole text before it writes a translation; send texts to predict")
