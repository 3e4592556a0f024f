"""Show a figure in a notebook, with its caption, its picture and its data to download."""

import base64
import io

import matplotlib
import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure
from matplotlib.image import AxesImage


def display_figure(figure: Figure, caption: str, data: pd.DataFrame, name: str) -> None:
    """Show a figure, its caption, and two links: the picture as SVG and the data as CSV.

    The links contain the files: a page that is opened from disk has no server to ask for them.

    Args:
        figure: the figure; its maps are shown without interpolation from then on.
        caption: in Markdown.
        data: what the figure shows; numbers are written with six digits.
        name: of the two files, without suffix.
    """
    display(figure, Markdown(caption))
    for image in figure.findobj(AxesImage):
        image.set_interpolation("none")  # the SVG has each pixel of a map once
    svg = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):  # equal figures give equal files
        figure.savefig(svg, format="svg", metadata={"Date": None})
    csv = data.to_csv(index=False, float_format="%.6g").encode()
    links = (
        _link("the picture (SVG)", f"{name}.svg", "image/svg+xml", svg.getvalue()),
        _link("its data (CSV)", f"{name}.csv", "text/csv", csv),
    )
    display(HTML(f"<p>Download {' and '.join(links)}.</p>"))


def _link(text: str, file: str, kind: str, content: bytes) -> str:
    packed = base64.b64encode(content).decode()
    return f'<a download="{file}" href="data:{kind};base64,{packed}">{text}</a>'
