"""Run summaries; test_sweep and test_evaluation test the rest of them."""

from pathlib import Path

import numpy as np
import pytest

from loupe_companion.data_figures import cohort_figure, phase_figure, spectrum_figure
from loupe_companion.evaluation import evaluate
from loupe_companion.figures.fig1 import encoder_figure
from loupe_companion.results import RunResult
from loupe_companion.run_summary import collapse_warnings
from loupe_companion.sources import load_profile
from loupe_companion.store import result_file
from loupe_companion.sweep import run_sweep
from loupe_lib.data.images import Images, read_images, write_images
from loupe_lib.training.checkpoint import read_weights
from tests.common import measured, smoke


@pytest.mark.parametrize(
    ("achieved", "collapsed"),
    [(1.9, True), (2.0, False), (4.0, False), (8.0, False), (8.1, True), (np.inf, True)],
)
def test_a_mask_off_by_more_than_a_factor_of_2_has_collapsed(achieved, collapsed):
    found = collapse_warnings({"achieved_acceleration": np.array(achieved)}, smoke())
    assert bool(found) == collapsed
    assert all(f"R={achieved:.3g}, not 4" in warning for warning in found)


@pytest.fixture(scope="module")
def on_complex(images, tmp_path_factory) -> tuple[RunResult, Images, Path]:
    """A 4S run on a file of complex images, those images, and its weights."""
    folder = tmp_path_factory.mktemp("complex")
    write_images(measured(images), folder / "complex.h5")
    (config,) = load_profile("smoke", folder / "complex.h5", slopes=[]).configs()
    (result,) = run_sweep([config], folder / "runs", folder / "complex.h5", "cpu", progress=False)
    weights = result_file(folder / "runs", config).parent / "weights.safetensors"
    return result, read_images(folder / "complex.h5"), weights


def test_a_run_on_complex_images_is_measured_by_their_magnitudes(on_complex):
    result, images, weights = on_complex
    assert images.is_complex and result.truth.dtype == np.float32
    truth = images.test.images[result.shown].abs().numpy()
    np.testing.assert_array_equal(result.truth, truth.astype(np.float16))
    assert np.isfinite(result.history["loss"]).all()
    model, _ = read_weights(weights)
    for kind, found in result.metrics.items():
        again = evaluate(model, images.test, kind)
        for name, values in again.items():
            np.testing.assert_array_equal(found[name], values)
    reconstructed = result.reconstructions[0] - result.truth[0]
    psnr = -10 * np.log10((reconstructed**2).mean())
    assert psnr == pytest.approx(result.metrics["threshold"]["psnr"][result.shown[0]], abs=0.05)


def test_figures_of_complex_images_show_their_magnitudes(on_complex):
    _, images, weights = on_complex
    model, _ = read_weights(weights)
    x = images.test.images[3]
    axes = encoder_figure(model.mask, x).axes
    (ax,) = [ax for ax in axes if ax.get_title().startswith("$|x|$")]
    np.testing.assert_array_equal(ax.images[0].get_array(), x.abs().numpy())
    shown = np.asarray(cohort_figure(images).axes[0].images[0].get_array())
    first = images.train.images[images.train.volume == 0]
    np.testing.assert_array_equal(shown, first[len(first) // 2].abs().numpy())
    assert spectrum_figure(images).axes


def test_the_phase_is_shown_where_there_is_signal(on_complex):
    _, images, _ = on_complex
    axes = [ax for ax in phase_figure(images).axes if ax.get_title() == "phase of $x$"]
    assert len(axes) == len({images.test.names[0], images.test.names[-1]})
    x = images.test.images[images.test.volume == 0]
    x = x[len(x) // 2]
    shown = np.ma.filled(np.ma.masked_invalid(axes[0].images[0].get_array()), 9)
    np.testing.assert_array_equal(shown, np.where(x.abs() > 0.1, x.angle(), 9).astype(np.float32))
