"""The page of the claims: what its notebooks show."""

from collections.abc import Callable

from IPython.display import Markdown, display
from matplotlib.figure import Figure

from loupe_companion.claims import figures
from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import Verdict
from loupe_companion.claims.tables import outcome, statement

# Claims whose figure shows more than the comparisons of the test.
FIGURES: dict[int, Callable[[RunTable], Figure]] = {
    1: figures.soft_fractions_figure,
    2: figures.slopes_figure,
    5: figures.returned_slopes_figure,
    7: figures.settings_figure,
    8: figures.trained_slope_figure,
}


def show_claim(verdict: Verdict, table: RunTable) -> None:
    """Show what the paper says, the test, a figure, the comparisons, and what was found."""
    number = verdict.claim.number
    display(Markdown(statement(verdict.claim)))
    if verdict.findings and number in FIGURES:
        display(FIGURES[number](table))
    elif verdict.findings:
        display(figures.findings_figure(verdict))
        display(Markdown(figures.FINDINGS_CAPTION))
    display(Markdown(outcome(verdict)))
