"""What READMEs and notebooks show works as it stands there."""

import re
from pathlib import Path

import pytest

PYTHON = Path(__file__).parent.parent


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", [PYTHON / "README.md", PYTHON.parent / "README.md"], ids=["python", "root"])
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not page.exists():
        pytest.skip("the page is not part of this checkout")
    monkeypatch.chdir(tmp_path)
    found, names = blocks(page), {"__name__": "page"}
    assert found
    for block in found:
        exec(compile(block, str(page), "exec"), names)


def test_the_notebook_runs_and_shows_its_curve(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(PYTHON / "examples" / "quickstart.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    shown = [output.data.get("text/html", "") for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert "<progress" in shown[0] and "100% of 60000 steps" in shown[0] and "<svg" in shown[0]
    assert sum("<svg" in html for html in shown) >= 2
