"""Draw the README's picture from the kept results: ``python -m tools.readme_picture``."""

import io

from loupe_lib.figures import psnr_figure
from loupe_lib.files import write_file
from loupe_lib.results import read_results
from tools.preamble import ROOT


def main() -> None:
    buffer = io.BytesIO()
    figure = psnr_figure(read_results(ROOT / "results" / "reference.h5"))
    figure.savefig(buffer, format="png", dpi=100)
    write_file(ROOT / "results" / "fig3.png", buffer.getvalue())


if __name__ == "__main__":
    main()
