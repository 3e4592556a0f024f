"""Figures and tables of what 4S does beyond MRI, drawn from the kept results."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from loupe_companion.beyond import figures
from loupe_companion.beyond.experiment import FULL, Record, read_record
from loupe_companion.beyond.tables import accuracy_table, conditions, summary
from loupe_companion.beyond.tasks import TASKS
from loupe_companion.figures.style import BLUE, YELLOW
from tests.common import ROOT, draw


@pytest.fixture(scope="module")
def record() -> Record:
    return read_record(ROOT / "results" / "beyond.json")


def test_accuracy_stands_at_the_slope_in_the_colours_of_the_paper(record):
    figure = draw(figures.accuracy_figure(record))
    for ax, task in zip(figure.axes, TASKS, strict=True):
        assert ax.get_xscale() == "log"
        large = [line for line in ax.lines if line.get_markersize() == 9]
        hollow = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
        slopes = (*FULL.slopes, None)
        for slope, filled, relaxed in zip(slopes, large, hollow[: len(slopes)], strict=True):
            runs = record.of(task, slope)
            middle = np.exp(np.mean(np.log([r.kept_slope for r in runs])))
            accuracy = 100 * np.mean([r.accuracy for r in runs])
            assert to_hex(filled.get_color()).upper() == (BLUE if slope else YELLOW)
            assert np.ravel(filled.get_data()) == pytest.approx([middle, accuracy])
            expected = 100 * np.mean([r.relaxed_accuracy for r in runs])
            assert relaxed.get_ydata() == pytest.approx([expected])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["fixed $s$", "4S", "relaxed layer"]


def test_pixels_are_shown_by_the_fraction_of_seeds_that_keep_them(record):
    figure = draw(figures.pixels_figure(record))
    pictures = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in pictures] == ["s = 1", "s = 16", "s = 4096", "4S"]
    shown = np.ravel(pictures[-1].images[0].get_array())
    np.testing.assert_allclose(shown, np.mean([run.layer for run in record.of("pixels", None)], 0))


def test_filters_of_the_first_seed_are_shown(record):
    figure = draw(figures.filters_figure(record))
    last = figure.axes[-4:]
    assert last[0].get_ylabel() == "4S"
    shown = np.ravel([ax.images[0].get_array() for ax in last])
    np.testing.assert_array_equal(shown, record.of("filters", None)[0].layer)


def test_digits_are_shown_whole_and_as_the_mask_leaves_them(record):
    x = torch.rand(3, 64)
    mask = x.new_tensor(record.of("pixels", None)[0].layer)
    figure = draw(figures.digits_figure(x, mask))
    shown = [ax.images[0].get_array() for ax in figure.axes]
    for whole, seen, digit in zip(shown[:3], shown[3:], x, strict=True):
        np.testing.assert_array_equal(whole, digit.reshape(8, 8))
        assert seen.mask.sum() == 64 - 10
        np.testing.assert_array_equal(seen.compressed(), digit[mask.bool()])


def test_a_training_is_shown_with_the_epoch_that_is_kept():
    left, right = draw(figures.history_figure([3.0, 1.0, 2.0], [1.0, 1.0, 1.5])).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [3, 1, 2])
    assert [float(v[0]) for v in left.lines[1].get_data()] == [2, 1]
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [1, 1, 1.5])


def test_the_table_has_every_layer_and_slope_and_marks_the_best(record):
    table = accuracy_table(record)
    for task, best in (("pixels", "16"), ("filters", "64")):
        rows = table[table["layer"] == task].to_dict("records")
        fixed = [f"{slope:g}" for slope in FULL.slopes]
        fixed[fixed.index(best)] += " (best by validation)"
        assert [row["slope"] for row in rows[:-1]] == fixed
        slopes = [run.kept_slope for run in record.of(task, None)]
        assert rows[-1]["slope"] == f"4S: {min(slopes):.0f} to {max(slopes):.0f}"
        accuracy = [100 * run.accuracy for run in record.of(task, None)]
        wanted = f"{np.mean(accuracy):.1f} ± {np.std(accuracy, ddof=1):.1f}"
        assert rows[-1]["test accuracy (%)"] == wanted


def test_the_summary_compares_4s_with_the_best_and_the_initial_slope(record):
    lines = summary(record).splitlines()
    titles = ["binary layer", "4S from s = 1", "best of 7 fixed slopes", "s = 1, fixed"]
    rows = {tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in lines[:4]}
    accuracies = accuracy_table(record)["test accuracy (%)"].tolist()
    pixels, filters = accuracies[:8], accuracies[8:]
    assert rows >= {
        tuple(titles),
        ("pixels", pixels[-1], f"{pixels[2]} (s = 16)", pixels[0]),
        ("filters", filters[-1], f"{filters[3]} (s = 64)", filters[0]),
    }
    assert "over 10 seeds" in lines[-1]


def test_conditions_say_how_often_and_on_what(record):
    text = conditions(record)
    assert text.startswith("*160 trainings: 7 fixed slopes and 4S (from s = 1, p = 5), 10 seeds")
    minutes = sum(run.seconds for run in record.runs) / 60
    assert f"Trained on {record.device}; all together: {minutes:.1f} minutes." in text
