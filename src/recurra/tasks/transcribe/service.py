"""Service of transcribers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import msgspec

from recurra.data.files.audio import Recordings
from recurra.errors import UsageError
from recurra.tasks.params import MAX_BEAMS
from recurra.tasks.serving.service import Options, Path, Service
from recurra.tasks.serving.sounds import sound_example, sound_of, sound_schema, sound_steps
from recurra.tasks.serving.stepper import Stepper
from recurra.tasks.subject import Subject

MAX_BONUS = 1e6


class TranscribeOptions(Options, frozen=True, kw_only=True):
    """Options of a transcription.

    Attributes:
        beam: prefixes that the search keeps; None for the number that the model was trained with.
        length_bonus: log-probability that the search adds for each token; None for that of the training.
        timestamps: whether the times of each token are added.
    """

    beam: Annotated[int, msgspec.Meta(ge=1, le=MAX_BEAMS)] | None = None
    length_bonus: Annotated[float, msgspec.Meta(ge=-MAX_BONUS, le=MAX_BONUS)] | None = None
    timestamps: bool = False


class TranscribeService(Service):
    """Service of a transcriber."""

    Options = TranscribeOptions
    formats: ClassVar[dict[str, str]] = {"confidence": ".4f"}

    def input_schema(self) -> dict[str, Any]:
        """See `Service.input_schema`."""
        return sound_schema()

    def example(self) -> Any:
        """See `Service.example`."""
        return sound_example(self.estimator.encoder_.rate)

    def about(self) -> dict[str, Any]:
        """See `Service.about`."""
        model = self.estimator
        return {"sample_rate": model.encoder_.rate, "tokens": model.tokens, "beam": model.beam_size}

    def item(self, value: Any, path: Path) -> Any:
        """See `Service.item`."""
        return sound_of(value, path, self.max_steps)

    def subject(self, item: Any) -> Subject:
        """See `Service.subject`."""
        return self.estimator.subject(Recordings([item]))

    def steps(self, item: Any) -> int:
        """See `Service.steps`."""
        return sound_steps(item)

    def answers(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """See `Service.answers`."""
        answers = []
        for said in self.estimator.transcribe(items, beam_size=options.beam, length_bonus=options.length_bonus):
            answer: dict[str, Any] = {"text": said.text, "confidence": said.confidence}
            if options.timestamps:
                answer["tokens"] = [token._asdict() for token in said.tokens]
            answers.append(answer)
        return answers

    def stepper(self) -> Stepper:
        """See `Service.stepper`."""
        raise UsageError("a transcriber searches the text of a whole recording; send recordings to predict")
