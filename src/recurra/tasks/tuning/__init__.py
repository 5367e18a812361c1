"""Search of parameters with Optuna: `Estimator.tune` and `recurra tune`.

Everything is imported at first use: the estimators import the declarations, and the search imports the estimators.
"""

from recurra._util.lazy_names import at_first_use

_PLACES = {"Limits": ".run:Limits", "Range": ".ranges:Range", "tune": ".search:tune"}

__all__ = sorted(_PLACES)  # pyright: ignore[reportUnsupportedDunderAll]

__getattr__ = at_first_use(__name__, _PLACES)
