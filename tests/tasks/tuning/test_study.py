"""The journal of a search survives the end of its process at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recurra.errors import RecurraError, UsageError
from recurra.tasks.tuning.ranges import Range
from recurra.tasks.tuning.study import RETRIES, STARTUP, Study
from recurra.tasks.tuning.trial import Outcome

SPACE = {"size": Range(8, 64, log=True), "rate": Range(1e-4, 1e-1, log=True), "kind": ("a", "b")}
DEFAULTS = {"size": 16, "rate": 1.0, "kind": "a"}
"""The rate is not in the space."""


def study(folder: Path, seed: int = 0, **changes: Any) -> Study:
    return Study(folder / "journal.log", SPACE, DEFAULTS, seed, {"data": "1", "options": "2", **changes})


def complete(score: float) -> Outcome:
    return Outcome("complete", score, "accuracy", True, {"accuracy": score}, epochs=3)


def run(one: Study, count: int) -> list[dict[str, Any]]:
    """Runs trials whose score is known."""
    found = []
    for _ in range(count):
        asked = one.ask()
        found.append(asked.params)
        one.tell(asked.number, complete(-abs(asked.params["size"] - 40) - asked.params["rate"]))
    return found


def test_a_killed_search_proposes_the_same_as_an_uninterrupted_one(tmp_path):
    count = STARTUP + 4
    (tmp_path / "whole").mkdir()
    whole = run(study(tmp_path / "whole"), count)
    assert whole[0] == DEFAULTS
    run(study(tmp_path), STARTUP + 1)
    lost = study(tmp_path).ask()  # and the process ends
    with (tmp_path / "journal.log").open("a") as journal:
        journal.write('{"op_code": 5, "wor')
    (tmp_path / "journal.log.lock").symlink_to("journal.log")
    again = study(tmp_path)
    assert run(again, count - STARTUP - 1)[0] == lost.params
    assert [row["params"] for row in again.rows()] == whole
    assert again.counted() == count
    assert again.best == max(range(len(whole)), key=lambda i: -abs(whole[i]["size"] - 40) - whole[i]["rate"]) + (
        again.best > lost.number
    )


def test_the_seed_decides(tmp_path):
    (tmp_path / "other").mkdir()
    assert run(study(tmp_path), 3) != run(study(tmp_path / "other", seed=1), 3)


def test_a_trial_whose_process_ends_is_tried_again_a_few_times(tmp_path):
    one = study(tmp_path)
    first = one.ask()
    assert one.tell(first.number, Outcome("lost"))
    for again in range(RETRIES):
        asked = one.ask()
        assert asked.params == first.params
        assert asked.first
        assert one.tell(asked.number, Outcome("lost")) == (again < RETRIES - 1)
    assert one.counted() == 1
    assert [row["state"] for row in one.rows()] == ["lost"]


def test_a_trial_worse_than_the_median_ends_early(tmp_path):
    one = study(tmp_path)
    for score in (0.5, 0.6, 0.7, 0.8):
        asked = one.ask()
        assert all(one.report(asked.number, step, score) for step in range(1, 21))
        one.tell(asked.number, complete(score))
    asked = one.ask()
    found = [one.report(asked.number, step, 0.6) for step in range(1, 4)]
    assert found == [True, True, False]
    one.tell(asked.number, Outcome("pruned", 0.6))
    assert one.rows()[-1] | {"seconds": 0} == {
        "trial": 4,
        "state": "pruned",
        "score": 0.6,
        "params": asked.params,
        "seconds": 0,
        "epochs": 0,
    }
    assert one.best == 3


def test_failures_are_kept_with_their_reason(tmp_path):
    one = study(tmp_path)
    one.tell(one.ask().number, Outcome("failed", error=RecurraError("too large")))
    assert [(row["state"], row["error"]) for row in study(tmp_path).rows()] == [("failed", "too large")]


def test_another_search_is_refused(tmp_path):
    run(study(tmp_path), 1)
    with pytest.raises(UsageError, match=r"because these are different: data, options\n"):
        study(tmp_path, data="3", options="4")
    (tmp_path / "journal.log").write_text("something else\n")
    with pytest.raises(UsageError, match="is not the journal of a search"):
        study(tmp_path)
