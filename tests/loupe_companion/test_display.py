"""A figure in a notebook: its caption, and its picture and data to download."""

import base64
import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from loupe_companion.figures import display


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is displayed of the same figure, twice."""
    shown: list[Any] = []
    monkeypatch.setattr(display, "display", lambda *objects: shown.extend(objects))
    for _ in range(2):
        figure = Figure()
        figure.subplots().imshow(np.arange(9.0).reshape(3, 3))
        data = pd.DataFrame({"row": [0, 1], "value": [0.123456789, 2e-9]})
        display.display_figure(figure, "**Figure 9.** Nine values.", data, "maps")
    return shown


def files(links: Any) -> dict[str, bytes]:
    found = re.findall(r'download="(\S+)" href="data:[^;]+;base64,([^"]+)"', links.data)
    return {name: base64.b64decode(content) for name, content in found}


def test_the_figure_comes_first_then_its_caption_then_the_links(outputs):
    figure, caption, links = outputs[:3]
    assert isinstance(figure, Figure) and caption.data == "**Figure 9.** Nine values."
    assert "(SVG)" in links.data and "(CSV)" in links.data


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
