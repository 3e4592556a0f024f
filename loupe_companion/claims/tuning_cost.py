"""What it costs to find the best fixed slope, and what one run of 4S costs."""

import pandas as pd

from loupe_companion.claims.run_table import RunTable, common, validation_quality
from loupe_companion.claims.statistics import NotRun
from loupe_companion.tables import conditions, count_dc, markdown, mean_and_spread

TEST = """\
The table counts the trainings and epochs of one seed: a search over the grid of fixed slopes, and
one run of 4S. The PSNR of the search is the test PSNR of its model with the lowest validation loss;
the number after ± is the standard deviation over n seeds. *Keeps DC*: of these models, the number
whose mask keeps the zero frequency. The count of 4S leaves out the choice of its
start, of p and of m (claim 7)."""


def cost_table(table: RunTable) -> str:
    """The search over the grid, then 4S, at each R, in Markdown; or what was not run."""
    rows, runs = [], []
    try:
        for r in table.accelerations:
            grid, shrunk = table.grid(r), table.runs(r, "4S")
            seeds = common(shrunk, *grid.values())
            for name, methods in (
                (f"best of {len(grid)} fixed slopes", list(grid.values())),
                ("4S", [shrunk]),
            ):
                searches = [[method[seed] for method in methods] for seed in seeds]
                kept = [max(search, key=validation_quality) for search in searches]
                rows.append(
                    {
                        "R": f"{r:g}",
                        "slope": name,
                        "trainings": str(len(methods)),
                        "epochs": str(sum(len(run.history["loss"]) for run in searches[0])),
                        "n": str(len(seeds)),
                        "PSNR (dB)": mean_and_spread([run.psnr() for run in kept]),
                        "keeps DC": count_dc(kept),
                    }
                )
                runs += [run for search in searches for run in search]
    except NotRun as error:
        return f"**Not run:** {error}."
    return f"{markdown(pd.DataFrame(rows))}\n\n{conditions(runs)}"
