"""The example notebooks run, have stored outputs, and show training as one line."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_OUTPUTS = 5
"""Outputs of the first example of the README, with a progress line that is updated in place."""
MOST_BYTES = 300_000


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Runs all cells in a kernel on the loopback address."""
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()


def test_stored_notebooks():
    """Each was run from top to bottom without an error, and is listed on the index page."""
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) == 6
    for path in NOTEBOOKS:
        notebook, cells = read(path), code_cells(read(path))
        nbformat.validate(notebook)
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), path.name
        kinds = [output.output_type for cell in cells for output in cell.outputs]
        assert kinds, path.name
        assert "error" not in kinds, path.name
        assert path.stat().st_size < MOST_BYTES, path.name
        assert str(ROOT) not in path.read_text(encoding="utf-8"), path.name
        assert f"]({path.name})" in index


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path):
    notebook = read(path)
    before = [[output.output_type for output in cell.outputs] for cell in code_cells(notebook)]
    run(notebook, tmp_path)
    assert [len(cell.outputs) for cell in code_cells(notebook)] == [len(kinds) for kinds in before]


@pytest.mark.slow
def test_training_is_one_line_in_a_notebook(tmp_path):
    """The first example of the README has few outputs, the first of which is the final text of the progress line."""
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)[:1]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    run(notebook, tmp_path)
    outputs = notebook.cells[0].outputs
    assert 2 <= len(outputs) <= MOST_OUTPUTS
    assert outputs[0].data["text/plain"].startswith("best epoch")
