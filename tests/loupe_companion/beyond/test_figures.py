"""Figures and tables of what 4S does beyond MRI, drawn from real, short trainings."""

import io
import re

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from msgspec.structs import replace

from loupe_companion.beyond import figures
from loupe_companion.beyond.experiment import SMOKE, Record, run
from loupe_companion.beyond.tables import accuracy_table, conditions
from loupe_companion.beyond.tasks import TASKS, draw_digits
from loupe_companion.figures import BLUE, YELLOW

pytest.importorskip("sklearn", reason="no scikit-learn")

ORIGIN = {
    "code": "1 (source 2)",
    "python": "3.12",
    "packages": {},
    "device": "CPU (mine)",
    "date": "2026-01-02T03:04:05+00:00",
}


@pytest.fixture(scope="module")
def record():
    plan = replace(SMOKE, slopes=(1.0, 16.0, 4096.0), epochs=4)
    cases = [*((slope, False) for slope in plan.slopes), (1.0, True)]
    runs = (run(t, *case, seed, plan) for t in TASKS for case in cases for seed in plan.seeds)
    return Record(**ORIGIN, plan=plan, runs=tuple(runs))


def save(figure: Figure) -> None:
    """Drawing warns of all that does not fit or is missing; warnings are errors."""
    figure.savefig(io.BytesIO(), dpi=50)


def test_accuracy_stands_at_the_slope_in_the_colours_of_the_paper(record):
    figure = figures.accuracy_figure(record)
    save(figure)
    for ax, task in zip(figure.axes, TASKS, strict=True):
        assert ax.get_xscale() == "log"
        large = {
            (to_hex(line.get_color()).upper(), *np.ravel(line.get_data()).round(4))
            for line in ax.lines
            if line.get_markersize() == 9
        }
        expected = set()
        for slope in (1.0, 16.0, 4096.0, None):
            runs = record.of(task, slope)
            middle = np.exp(np.mean(np.log([r.kept_slope for r in runs])))
            height = 100 * np.mean([r.accuracy for r in runs])
            expected.add((BLUE if slope else YELLOW, middle.round(4), height.round(4)))
        assert large == expected
        relaxed = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
        heights = sorted(float(line.get_ydata()[0]) for line in relaxed if len(line.get_ydata()))
        wanted = [
            100 * np.mean([r.relaxed_accuracy for r in record.of(task, slope)])
            for slope in (1.0, 16.0, 4096.0, None)
        ]
        assert heights == pytest.approx(sorted(wanted))
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {"fixed $s$", "4S", "relaxed layer"}


def test_pixels_are_shown_by_the_share_of_seeds_that_keep_them(record):
    figure = figures.pixels_figure(record)
    save(figure)
    pictures = [ax for ax in figure.axes if ax.images]
    best = record.best_slope("pixels")
    titles = [*dict.fromkeys(["s = 1", f"s = {best:g}", "s = 4096"]), "4S"]
    assert [ax.get_title() for ax in pictures] == titles
    shown = np.asarray(pictures[-1].images[0].get_array())
    masks = [run.layer for run in record.of("pixels", None)]
    np.testing.assert_allclose(shown.flatten(), np.mean(masks, axis=0))
    assert shown.sum() == pytest.approx(10)


def test_filters_of_the_first_seed_are_shown(record):
    figure = figures.filters_figure(record)
    save(figure)
    last = figure.axes[-4:]
    assert last[0].get_ylabel() == "4S"
    shown = [np.asarray(ax.images[0].get_array()) for ax in last]
    np.testing.assert_array_equal(np.ravel(shown), record.of("filters", None)[0].layer)


def test_digits_are_shown_whole_and_as_the_mask_leaves_them(record):
    x = draw_digits(0).test.x[:3]
    mask = x.new_tensor(record.of("pixels", None)[0].layer)
    figure = figures.digits_figure(x, mask)
    save(figure)
    shown = [ax.images[0].get_array() for ax in figure.axes]
    for whole, seen, digit in zip(shown[:3], shown[3:], x, strict=True):
        np.testing.assert_array_equal(whole, digit.reshape(8, 8))
        assert seen.mask.sum() == 64 - 10
        np.testing.assert_array_equal(seen.compressed(), digit[mask.bool()])


def test_a_training_is_shown_with_the_epoch_that_is_kept():
    figure = figures.history_figure([3.0, 1.0, 2.0], [1.0, 1.0, 1.5])
    save(figure)
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [3, 1, 2])
    assert [float(v[0]) for v in left.lines[1].get_data()] == [2, 1]
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [1, 1, 1.5])


def test_the_table_has_every_layer_and_slope_and_marks_the_best(record):
    table = accuracy_table(record)
    assert len(table) == 2 * 4
    for task, rows in table.groupby("layer"):
        (best,) = (slope for slope in rows["slope"] if "best by validation" in slope)
        assert best == f"{record.best_slope(task):g} (best by validation)"
        last = rows.iloc[-1]
        assert last["slope"].startswith("4S: ")
        accuracy = [100 * run.accuracy for run in record.of(task, None)]
        wanted = f"{np.mean(accuracy):.1f} ± {np.std(accuracy, ddof=1):.1f}"
        assert last["test accuracy (%)"] == wanted


def test_conditions_say_how_often_on_what_and_when(record):
    text = conditions(record)
    assert "16 trainings" in text and "2 seeds" in text and "4 epochs" in text
    assert "CPU (mine), 2026-01-02" in text and "1 (source 2)" in text
    assert re.search(r"\d\.\d minutes of training", text)
