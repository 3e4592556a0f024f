"""Draw the picture of the README: ``python -m loupe_companion.book.readme_picture``."""

from loupe_companion.figures.fig3 import psnr_figure
from loupe_companion.results import KEPT, read_results


def main() -> None:
    psnr_figure(read_results(KEPT / "reference.h5")).savefig(KEPT / "fig3.png", dpi=100)


if __name__ == "__main__":
    main()
