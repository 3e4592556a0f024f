"""A figure in a notebook: its caption, and its picture and data to download."""

import base64
import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT

nbformat = pytest.importorskip("nbformat", reason="the book's tools are not installed")
pytest.importorskip("papermill", reason="the book's tools are not installed")

from loupe_companion.book.notebooks import execute  # noqa: E402

CODE = """
%matplotlib inline
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from loupe_companion.figures.display import display_figure

for _ in range(2):
    figure = Figure()
    figure.subplots().imshow(np.arange(9.0).reshape(3, 3))
    data = pd.DataFrame({"row": [0, 1], "value": [0.123456789, 2e-9]})
    display_figure(figure, "**Figure 9.** Nine values.", data, "maps")
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What a cell shows that displays the same figure twice."""
    folder = tmp_path_factory.mktemp("display")
    cell = nbformat.v4.new_code_cell(CODE)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(notebook, folder / "source.ipynb")
    execute(folder / "source.ipynb", folder / "done.ipynb", {}, ROOT)
    done = nbformat.read(folder / "done.ipynb", as_version=4)
    return [output.data for output in done.cells[-1].outputs]


def files(links: dict[str, str]) -> dict[str, bytes]:
    found = re.findall(r'download="(\S+)" href="data:[^;]+;base64,([^"]+)"', links["text/html"])
    return {name: base64.b64decode(content) for name, content in found}


def test_the_figure_comes_first_then_its_caption_then_the_links(outputs):
    figure, caption, links = outputs[:3]
    assert base64.b64decode(figure["image/png"]).startswith(b"\x89PNG")
    assert caption["text/markdown"] == "**Figure 9.** Nine values."
    assert "(SVG)" in links["text/html"] and "(CSV)" in links["text/html"]


def test_the_files_hold_the_picture_and_the_numbers(outputs):
    found = files(outputs[2])
    assert list(found) == ["maps.svg", "maps.csv"]
    (picture,) = re.findall(rb'xlink:href="data:image/png;base64,([^"]+)"', found["maps.svg"])
    # Bytes 16 to 23 of a PNG are its width and height: each pixel of the map once.
    assert base64.b64decode(picture)[16:24] == bytes([0, 0, 0, 3, 0, 0, 0, 3])
    read = pd.read_csv(io.BytesIO(found["maps.csv"]))
    np.testing.assert_allclose(read["value"], [0.123456789, 2e-9], rtol=1e-5)


def test_equal_figures_give_equal_files(outputs):
    assert files(outputs[2]) == files(outputs[5])
