"""BLEU and chrF by sacrebleu, whose signatures say how they were counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from recurra.errors import UsageError

_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u0f00-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af]"
)
"""Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese, written without spaces; Korean, whose words between
spaces carry their particles."""

References = Sequence[Sequence[str]]
"""The known translations of each sentence."""


def bleu_tokens(texts: Sequence[str]) -> str:
    """Selects the tokenizer of BLEU: `"char"` if spaces do not separate words, else `"13a"`, the standard.

    Example:
        >>> bleu_tokens(["나는 간다."]), bleu_tokens(["Ich gehe."])
        ('char', '13a')
    """
    letters = [c for text in texts[:10_000] for c in text if c.isalpha()]
    return "char" if 2 * len(_WITHOUT_SPACES.findall("".join(letters))) > len(letters) else "13a"


def corpus_metrics(found: Sequence[str], references: References, tokens: str) -> dict[str, float]:
    """BLEU and chrF, from 0 to 100, of translations against all references of each.

    Raises:
        UsageError: sacrebleu has no such way to cut texts, or lacks what it needs.
    """
    bleu, chrf = _metrics(tokens)
    streams = _streams(references)
    return {"bleu": bleu.corpus_score(found, streams).score, "chrf": chrf.corpus_score(found, streams).score}


def signatures(references: References, tokens: str) -> dict[str, str]:
    """Returns the signatures of sacrebleu for these references."""
    first = [known[0] for known in references]
    made = dict(zip(("bleu", "chrf"), _metrics(tokens), strict=True))
    for metric in made.values():
        metric.corpus_score(first, _streams(references))  # the signature knows the number of references then
    return {f"{name}_signature": str(metric.get_signature()) for name, metric in made.items()}


def _metrics(tokens: str) -> tuple[Any, Any]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    try:
        return BLEU(tokenize=tokens, force=True), CHRF()  # force: no warning about separate full stops
    except (ImportError, RuntimeError) as error:
        raise UsageError(f"BLEU cannot cut texts by {tokens!r}: {' '.join(str(error).split())}") from None
    except Exception as error:  # sacrebleu asserts what it knows
        names = ", ".join(sorted(BLEU.TOKENIZERS))
        raise UsageError(f"BLEU cannot cut texts by {tokens!r} ({error}); sacrebleu knows {names}") from None


def _streams(references: References) -> list[Any]:
    most = max(map(len, references))
    return [[row[i] if i < len(row) else None for row in references] for i in range(most)]
