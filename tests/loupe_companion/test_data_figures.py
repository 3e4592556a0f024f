"""Figures of the images: their content, and that they can be saved."""

import numpy as np
import pytest

from loupe_companion import data_figures
from loupe_lib.data.heads import load_heads
from tests.common import dft2, draw, uncentre


def test_heads_and_cohort_are_drawn(images):
    draw(data_figures.heads_figure(load_heads()))
    cohort = data_figures.cohort_figure(images)
    draw(cohort)
    titles = {ax.get_title() for ax in cohort.axes}
    assert {*images.train.names, *images.validation.names, *images.test.names} <= titles


def test_the_spectrum_is_that_of_the_training_images(images):
    figure = data_figures.spectrum_figure(images)
    draw(figure)
    power = (np.abs(dft2(images.train.images.double().numpy())) ** 2).mean(0)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(shown, np.log10(uncentre(power)), atol=1e-3)
    ring = figure.axes[1].lines[0].get_ydata()
    assert ring[0] == pytest.approx(power[0, 0], rel=1e-4)
    around = [power[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    assert ring[1] == pytest.approx(np.mean(around), rel=1e-4)


def test_pairs_are_coloured_by_the_number_kept():
    mask = np.zeros((32, 32))
    mask[16, 16] = mask[16, 20] = 1  # DC, its own partner, and one whose partner is (16, 12)
    both = mask.copy()
    both[16, 12] = 1
    figure = data_figures.pairs_figure({"one": mask, "both": both})
    draw(figure)
    left, right = (np.asarray(ax.images[0].get_array()) for ax in figure.axes)
    assert (left[16, 16], left[16, 20], left[16, 12], left.sum()) == (2, 1, 0, 3)
    assert (right[16, 20], right[16, 12], right.sum()) == (2, 2, 6)
    assert [ax.get_title() for ax in figure.axes] == ["one", "both"]
