"""The results in words: a table, and sentences in Markdown."""

import statistics

import pandas as pd

from loupe_companion.beyond.experiment import Record, Training
from loupe_companion.beyond.tasks import TASKS
from loupe_companion.tables import markdown, mean_and_spread


def conditions(record: Record) -> str:
    """Under a figure: number, length and device of the trainings."""
    plan = record.plan
    minutes = sum(run.seconds for run in record.runs) / 60
    return (
        f"*{len(record.runs)} trainings: {len(plan.slopes)} fixed slopes and 4S (from "
        f"s = {plan.slopes[0]:g}, p = {plan.patience}), {len(plan.seeds)} seeds, "
        f"{plan.epochs} epochs each. Trained on {record.device}; all together: {minutes:.1f} "
        "minutes. ±: standard deviation over seeds.*"
    )


def summary(record: Record) -> str:
    """What 4S achieved: a table with a row for each layer, and what the numbers are."""
    plan = record.plan

    def accuracy(task: str, slope: float | None) -> str:
        return mean_and_spread([100 * run.accuracy for run in record.of(task, slope)], 1)

    rows = [
        {
            "binary layer": task,
            f"4S from s = {plan.slopes[0]:g}": accuracy(task, None),
            f"best of {len(plan.slopes)} fixed slopes": (
                f"{accuracy(task, record.best_slope(task))} (s = {record.best_slope(task):g})"
            ),
            f"s = {plan.slopes[0]:g}, fixed": accuracy(task, plan.slopes[0]),
        }
        for task in TASKS
    ]
    return (
        f"{markdown(pd.DataFrame(rows))}\n\n*Test accuracy with the binary layer in per cent, mean "
        f"± standard deviation over {len(plan.seeds)} seeds. The best fixed slope is that of the "
        "lowest validation loss.*"
    )


def accuracy_table(record: Record) -> pd.DataFrame:
    """A row for each layer and slope: accuracy in per cent, binary and relaxed."""
    rows = []
    for task in TASKS:
        best = record.best_slope(task)
        for slope in (*record.plan.slopes, None):
            runs = record.of(task, slope)
            rows.append(
                {
                    "layer": task,
                    "slope": _slope(runs) + " (best by validation)" * (slope == best),
                    "validation loss": mean_and_spread([run.validation_loss for run in runs]),
                    "test accuracy (%)": mean_and_spread([100 * run.accuracy for run in runs], 1),
                    "with the relaxed layer (%)": mean_and_spread(
                        [100 * run.relaxed_accuracy for run in runs], 1
                    ),
                    "epoch kept": f"{statistics.median(run.kept_epoch for run in runs):.0f}",
                }
            )
    return pd.DataFrame(rows)


def _slope(runs: list[Training]) -> str:
    if not runs[0].shrinks:
        return f"{runs[0].slope:g}"
    low, *_, high = sorted(run.kept_slope for run in runs)
    return f"4S: {low:.0f} to {high:.0f}"
