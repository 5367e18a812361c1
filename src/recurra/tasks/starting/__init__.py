"""Training that starts from the weights of a model (`start_from`, `warm_start`), and vectors for other models.

Everything is imported at first use: the estimators use this package, and it reads model folders.
"""

from recurra._util.lazy_names import at_first_use

_PLACES = {"begin": ".source:begin", "params_to_take": ".source:params_to_take"}

__all__ = sorted(_PLACES)  # pyright: ignore[reportUnsupportedDunderAll]

__getattr__ = at_first_use(__name__, _PLACES)
