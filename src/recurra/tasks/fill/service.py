"""Service of blank fillers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import msgspec

from recurra.data.columns.inputs import Texts
from recurra.errors import UsageError
from recurra.tasks.params import MAX_TOP
from recurra.tasks.serving.service import Options, Path, TextService, text_of
from recurra.tasks.serving.stepper import Stepper

from .blanks import BLANK, parse


class FillOptions(Options, frozen=True, kw_only=True):
    """Options of the words for blanks.

    Attributes:
        top: number of words for each blank.
        choices: candidates to rank for the only blank of each text, instead of words of the vocabulary.
        marks: whether a blank may be a punctuation mark.
    """

    top: Annotated[int, msgspec.Meta(ge=1, le=MAX_TOP)] = 5
    choices: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_TOP)] | None = None
    marks: bool = False


class FillService(TextService):
    """Service of a blank filler."""

    Options = FillOptions

    def example(self) -> Any:
        """See `Service.example`."""
        return "a text with a [ ] in it"

    def about(self) -> dict[str, Any]:
        """See `Service.about`."""
        model = self.estimator
        return {"tokens": model.tokens, "vocabulary": model.encoder_.input_size, "direction": model.direction}

    formats: ClassVar[dict[str, str]] = {"probability": ".4g", "score": ".4f"}

    def item(self, value: Any, path: Path) -> str:
        """See `Service.item`."""
        text = text_of(value, path, self.max_steps)
        parse(text, self.estimator.encoder_)  # refuses texts without blanks, and with too many
        return text

    def answers(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """See `Service.answers`."""
        if options.choices is None:
            found = self.estimator.predict(Texts(items), top=options.top, marks=options.marks)
            return [
                {
                    "text": text,
                    "probability": probability,
                    "blanks": [[{"word": word, "probability": p} for word, p in blank] for blank in blanks],
                }
                for text, probability, blanks in found
            ]
        answers = []
        for text, ranked in zip(items, self.estimator.choose(Texts(items), options.choices), strict=True):
            best = ranked[0].choice
            choices = [{"choice": c, "probability": p, "score": s} for c, p, s in ranked]
            filled = BLANK.sub(lambda _, word=best: word, text)
            answers.append({"text": filled, "choice": best, "choices": choices})
        return answers

    def stepper(self) -> Stepper:
        """See `Service.stepper`."""
        raise UsageError("a blank filler reads the text on both sides of a blank; send whole texts to predict")
