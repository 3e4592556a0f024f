"""What came out, in words: tables and sentences in Markdown."""

import statistics
from collections.abc import Iterable

from loupe_companion.beyond.experiment import Outcome, Record
from loupe_companion.beyond.tasks import TASKS


def conditions(record: Record) -> str:
    """Under a figure: how often, how long, on what."""
    plan, origin = record.plan, record.provenance
    minutes = sum(outcome.seconds for outcome in record.outcomes) / 60
    return (
        f"*{len(record.outcomes)} trainings: {len(plan.slopes)} fixed slopes and 4S (from "
        f"s = {plan.slopes[0]:g}, p = {plan.patience}), {len(plan.seeds)} seeds, "
        f"{plan.epochs} epochs each. {origin['device']}, {origin['date'][:10]}, "
        f"{minutes:.1f} minutes of training added up; code {origin['code']}. "
        "After ±: the standard deviation over seeds.*"
    )


def accuracy_table(record: Record) -> str:
    """A row for each layer and slope: accuracy in per cent, binary and relaxed."""
    rows = [
        "| layer | slope | validation loss | test accuracy (%) | with the relaxed layer (%) "
        "| epoch kept |",
        "|:--|:--|--:|--:|--:|--:|",
    ]
    for task in TASKS:
        best = record.best_slope(task)
        for slope in (*record.plan.slopes, None):
            runs = record.of(task, slope)
            cells = (
                task,
                _slope(runs) + (" (best by validation)" if slope == best else ""),
                _spread((run.validation_loss for run in runs), 2),
                _spread((100 * run.accuracy for run in runs), 1),
                _spread((100 * run.relaxed_accuracy for run in runs), 1),
                f"{statistics.median(run.kept_epoch for run in runs):.0f}",
            )
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _slope(runs: list[Outcome]) -> str:
    if not runs[0].shrinks:
        return f"{runs[0].slope:g}"
    low, *_, high = sorted(run.kept_slope for run in runs)
    return f"4S: {low:.0f} to {high:.0f}"


def _spread(values: Iterable[float], digits: int) -> str:
    found = list(values)
    return f"{statistics.fmean(found):.{digits}f} ± {statistics.stdev(found):.{digits}f}"
