"""The page of the claims: what its notebooks show."""

from collections.abc import Callable

from IPython.display import Markdown, display
from matplotlib.figure import Figure

from loupe_companion.claims import figures
from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import Verdict
from loupe_companion.claims.tables import outcome, statement

# Claims whose figure shows more than the comparisons of the test, with its caption.
FIGURES: dict[int, tuple[Callable[[RunTable], Figure], str]] = {
    1: (
        figures.soft_fractions_figure,
        "Each mark is a run. Filled circles: R = 4; hollow squares: R = 8. Grey: the values that "
        "the equations allow.",
    ),
    2: (figures.slopes_figure, "Large marks and lines: means over seeds. Small marks: seeds."),
    5: (figures.returned_slopes_figure, "Dots: seeds. Crosses: the paper."),
    7: (figures.settings_figure, "Large marks and lines: means over seeds. Small marks: seeds."),
    8: (
        figures.trained_slope_figure,
        "Solid: R = 4; dashed: R = 8. Left: a line for each seed. Right: the kept weights, mean "
        "over seeds.",
    ),
}


def show_claim(verdict: Verdict, table: RunTable) -> None:
    """Show what the paper says, the test, a figure, the comparisons, and what was found."""
    number = verdict.claim.number
    display(Markdown(statement(verdict.claim)))
    if verdict.findings:
        caption = figures.FINDINGS_CAPTION
        if number in FIGURES:
            draw, caption = FIGURES[number]
            display(draw(table))
        else:
            display(figures.findings_figure(verdict))
        display(Markdown(f"*{caption}*"))
    display(Markdown(outcome(verdict)))
