"""Draw the README's picture from the kept results.

Run as ``python -m loupe_companion.book.readme_picture``.
"""

import io

from loupe_companion.book.preamble import ROOT
from loupe_companion.figures import psnr_figure
from loupe_companion.results import read_results
from loupe_lib.data.storage import write_file


def main() -> None:
    buffer = io.BytesIO()
    figure = psnr_figure(read_results(ROOT / "results" / "reference.h5"))
    figure.savefig(buffer, format="png", dpi=100)
    write_file(ROOT / "results" / "fig3.png", buffer.getvalue())


if __name__ == "__main__":
    main()
