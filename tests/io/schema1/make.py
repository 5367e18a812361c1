"""Writes the folders beside this file; they were made by the last version that did not check folders by a schema."""

from __future__ import annotations

import json

from inputs import FOLDERS, MADE, answers


def main() -> None:
    expected = {}
    for name, make in MADE.items():
        model = make()
        model.save(FOLDERS / name)
        expected[name] = answers(name, model)
    text = json.dumps(expected, ensure_ascii=False, indent=1, allow_nan=False)
    (FOLDERS / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
