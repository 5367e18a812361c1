"""The checks of scikit-learn that the estimators cannot pass, each with its reason.

`test_sklearn_checks.py` uses this table, and compares the one in docs/guides/sklearn.md with it.
"""

from __future__ import annotations

ANY_LENGTH = (
    "A row is a sequence of any length. Rows with another number of columns are valid, so they are not refused."
)

EXCLUDED = {
    "SequenceClassifier": {
        "check_n_features_in_after_fitting": ANY_LENGTH,
        "check_classifiers_train": ANY_LENGTH,
        "check_estimators_partial_fit_n_features": ANY_LENGTH,
        "check_transformer_general": ANY_LENGTH,
        "check_sample_weight_equivalence_on_dense_data": (
            "Training takes its batches and the scale of the features from the rows. "
            "A row of weight 2 is one row, and two equal rows are two."
        ),
    },
    "SequenceRegressor": {
        "check_n_features_in_after_fitting": ANY_LENGTH,
        "check_estimators_partial_fit_n_features": ANY_LENGTH,
        "check_transformer_general": ANY_LENGTH,
        "check_sample_weight_equivalence_on_dense_data": (
            "Training takes its batches and the scale of the features from the rows. "
            "A row of weight 2 is one row, and two equal rows are two."
        ),
    },
}
"""For each estimator that reads arrays, the checks that it fails."""

WITHOUT_ARRAYS = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_get_params_invariance",
    "check_set_params",
)
"""The checks that fit nothing. Estimators of words, texts, recordings and tables of times pass them."""


def shown() -> str:
    """Returns the table of the guide."""
    checks: dict[str, tuple[str, list[str]]] = {}
    for estimator, excluded in EXCLUDED.items():
        for check, reason in excluded.items():
            checks.setdefault(check, (reason, []))[1].append(f"`{estimator}`")
    rows = [f"| `{check}` | {', '.join(who)} | {reason} |" for check, (reason, who) in checks.items()]
    return "\n".join(["| check | fails for | reason |", "|---|---|---|", *rows, ""])
