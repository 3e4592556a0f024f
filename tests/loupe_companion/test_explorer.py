"""The page "Turn the knob", opened from disk in a real browser; its numbers against PyTorch's."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

from loupe_companion.results import read_results
from loupe_companion.snapshots import encode
from loupe_lib import binarize, psnr
from loupe_lib.decoder import zero_filled
from loupe_lib.encoder import undersample
from loupe_lib.mask import relax
from tests.conftest import ROOT
from tests.loupe_companion.test_book import PHONE, browser, local

explorer = pytest.importorskip("loupe_companion.book.explorer")
stage = pytest.importorskip("loupe_companion.book.stage")

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.slow

RAW = re.compile(r"```\{raw\} html\n(.*?)```", re.DOTALL)
CONTROLS = [
    *("live-acceleration", "live-run", "live-slice", "live-draw", "live-knob", "20", "20000"),
    *("replay-pair", "replay-knob"),
    *("results-acceleration", "results-seed", "results-slice", "results-knob"),
]


@pytest.fixture(scope="module")
def kept():
    return stage.kept_results()


@pytest.fixture(scope="module")
def replayed():
    return explorer.replayed(read_results(ROOT / "results" / "replay.h5"))


@pytest.fixture(scope="module")
def text(kept, replayed):
    return explorer.explorer_page(kept, {"": replayed, "own": replayed})


@pytest.fixture(scope="module")
def file(text, tmp_path_factory):
    """The page without the theme of the book, which has nothing to do with its numbers."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(ROOT / "book/_static", folder / "_static")
    (folder / "book").mkdir()
    parts = "\n".join(RAW.findall(text))
    page = f"<!doctype html><meta charset='utf-8'><article class='bd-article'>{parts}</article>"
    (folder / "book/explorer.html").write_text(page, "utf-8")
    return folder / "book/explorer.html"


@pytest.fixture
def tab(file, browser):
    """The page, ready; when the test ends, it must have loaded and complained of nothing."""
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    faults = []
    opened.on("request", lambda request: None if local(request) else faults.append(request.url))
    opened.on("requestfailed", lambda request: faults.append(request.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text))
    opened.goto(file.as_uri())
    opened.wait_for_function("window.loupeExplorer")
    settle(opened)
    yield opened
    opened.close()
    assert faults == []


def settle(tab):
    """Wait until what was asked for is drawn, at the next frame."""
    tab.evaluate("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r())))")


def press(tab, control, *keys):
    tab.focus(f"#{control}")
    for key in keys:
        tab.keyboard.press(key)
    settle(tab)


def caption(tab, canvas):
    return tab.locator(f"figure:has(#{canvas}) figcaption").inner_text().replace("\xa0", " ")


def pixels(tab, canvas):
    """(n, n) grey levels of a canvas."""
    levels = tab.evaluate(
        """id => {
          const source = document.getElementById(id), {width, height} = source;
          const pen = new OffscreenCanvas(width, height).getContext("2d");
          pen.drawImage(source, 0, 0);
          return Array.from(pen.getImageData(0, 0, width, height).data).filter((_, i) => i % 4 == 0)
        }""",
        canvas,
    )
    return np.array(levels).reshape(round(len(levels) ** 0.5), -1)


def runs_in_page(kept):
    """The runs in the order of the page's index: by group, of each the first three seeds."""
    groups = explorer.group_runs(kept)
    return [run for group in groups for run in group.runs[: explorer.SEEDS]]


def test_the_numbers_are_those_of_pytorch(tab, kept):
    runs, rng = runs_in_page(kept), np.random.default_rng(0)
    truth = next(run.truth for run in kept if len(run.shown))
    for _ in range(20):
        k, slice_ = int(rng.integers(len(runs))), int(rng.integers(len(truth)))
        slope = float(10 ** rng.uniform(0, 5))
        state = {"run": k, "s": slope, "slice": slice_, "seed": int(rng.integers(2**31))}
        tab.evaluate("state => window.loupeExplorer.set(state)", state)
        p, u, x, numbers = tab.evaluate(
            """() => {
              const {probabilities, random, image, numbers} = window.loupeExplorer;
              return [probabilities(), random(), image(), numbers()];
            }"""
        )
        side = runs[k].config.size
        p, u, x = (torch.tensor(values).view(side, side).float() for values in (p, u, x))
        assert np.array_equal(encode(p.numpy()), encode(runs[k].probabilities))
        assert np.abs(x.numpy() - truth[slice_]).max() < 1e-5
        m = relax(p, u, slope)
        assert numbers["mean"] == pytest.approx(float(m.mean()), abs=1e-3)
        counts = torch.histc(m, len(numbers["histogram"]), 0, 1).numpy() / m.numel()
        assert np.abs(numbers["histogram"] - counts).max() < 1e-3
        assert numbers["soft"] == pytest.approx(
            float(((m > 0.05) & (m < 0.95)).float().mean()), abs=1e-3
        )
        expected = float(psnr(zero_filled(undersample(x[None], m)), x[None]))
        assert numbers["psnr"] == pytest.approx(expected, abs=1e-3)


def test_random_numbers_are_uniform_and_differ_by_seed(tab):
    draws = []
    for seed in (1, 2, 1):
        tab.evaluate("seed => window.loupeExplorer.set({seed})", seed)
        draws.append(np.array(tab.evaluate("window.loupeExplorer.random()")))
    assert np.array_equal(draws[0], draws[2])
    assert abs(np.corrcoef(draws[0], draws[1])[0, 1]) < 0.05
    for u in draws:
        assert u.min() >= 0 and u.max() < 1
        assert np.abs(np.histogram(u, 10, (0, 1))[0] / len(u) - 0.1).max() < 0.01


def test_binary_masks_are_those_of_the_library_to_the_last_entry(tab, kept):
    runs = runs_in_page(kept)
    for k in range(0, len(runs), 4):
        tab.evaluate("run => window.loupeExplorer.set({run})", k)
        p, r = torch.from_numpy(runs[k].probabilities), runs[k].config.acceleration
        for canvas, method in (("live-threshold", "threshold"), ("live-budget", "topk")):
            assert np.array_equal(pixels(tab, canvas) / 255, binarize(p, r, method).numpy())
            kept_samples = int(binarize(p, r, method).sum())
            achieved = f"R = {p.numel() / kept_samples:.2f}" if kept_samples else "empty"
            assert caption(tab, canvas).endswith(achieved)


def test_the_first_state_shows_a_grey_and_a_binary_mask(tab):
    grey, binary = pixels(tab, "live-m"), pixels(tab, "live-second")
    assert "s = 20:" in caption(tab, "live-m")
    assert ((grey > 12) & (grey < 243)).mean() > 0.1
    assert ((binary > 12) & (binary < 243)).mean() < 0.001
    shown = ("live-knob", "live-p", "live-m", "live-histogram", "live-threshold", "live-budget")
    for control in shown:
        box = tab.locator(f"#{control}").bounding_box()
        assert box["y"] + box["height"] <= 800, control


def test_a_frame_takes_less_than_50_ms(tab):
    times = tab.evaluate(
        """() => Array.from({length: 21}, (_, k) => {
          const began = performance.now();
          window.loupeExplorer.set({s: 10 ** (k / 4)});
          window.loupeExplorer.drawLive();
          return performance.now() - began;
        })"""
    )
    assert min(times) < 50  # the others may have waited for a core


def test_every_control_is_reached_and_works_by_keyboard(tab):
    reached = []
    for _ in CONTROLS:
        tab.keyboard.press("Tab")
        reached.append(
            tab.evaluate("document.activeElement.id || document.activeElement.dataset.slope")
        )
    assert reached == CONTROLS
    for control in CONTROLS:
        chosen = f"#{control}" if "-" in control else f"[data-slope='{control}']"
        assert tab.locator(chosen).evaluate("e => (e.labels?.[0] ?? e).textContent.trim()")

    press(tab, "live-knob", "End")
    assert "s = 100\u202f000" in caption(tab, "live-m")
    press(tab, "live-knob", "Home", "ArrowRight")
    assert "s = 1:" in caption(tab, "live-m")
    tab.locator("[data-slope='20000']").press("Enter")
    settle(tab)
    assert "s = 20\u202f000" in caption(tab, "live-m")
    before = pixels(tab, "live-m")
    press(tab, "live-draw", "Space")
    assert not np.array_equal(pixels(tab, "live-m"), before)
    before = pixels(tab, "live-p")
    press(tab, "live-run", "ArrowUp")
    assert not np.array_equal(pixels(tab, "live-p"), before)
    press(tab, "live-acceleration", "ArrowDown")
    assert "mean 0.125" in caption(tab, "live-p")


def test_the_replay_shows_the_last_snapshot_up_to_the_epoch(tab, replayed):
    captions = tab.locator("#replay .pair figcaption")
    for keys, epoch in (((), 260), (("ArrowLeft",), 259), (("Home",), 1)):
        press(tab, "replay-knob", *keys)
        assert tab.locator("#replay-epoch").inner_text() == f"{epoch} of 260"
        shown = [text.replace("\xa0", " ") for text in captions.all_inner_texts()]
        for texts, run in zip((shown[:3], shown[3:]), replayed, strict=True):
            k = int(np.flatnonzero(run.snapshots["epoch"] <= epoch)[-1])
            p = run.snapshots["probabilities"][k]
            middle = p[len(p) // 2, len(p) // 2] / 65535
            kept_samples = int((p >= 2**15).sum())
            assert texts == [
                f"P at epoch {run.snapshots['epoch'][k]}: P(DC) {middle:.2f}",
                f"P > 0.5: R = {p.size / kept_samples:.2f}",
                f"Reconstruction: {run.snapshots['psnr'][k]:.2f} dB",
            ]
    offered = tab.locator("#replay-pair option").all_inner_texts()
    assert offered == ["R = 4, N = 64, seed 0", "R = 4, N = 64, seed 0 (own)"]
    heading = tab.locator("#replay h4").all_inner_texts()
    assert heading == ["4S from s = 20, now s = 20", "fixed s = 200, now s = 200"]


def test_results_of_every_method_and_seed(tab, kept):
    index = json.loads(tab.locator("#explorer-index").text_content())
    for run, listed in list(zip(runs_in_page(kept), index["runs"], strict=True))[::5]:
        config = run.config
        titles = {
            one["title"] for one in index["runs"] if one["acceleration"] == config.acceleration
        }
        tab.select_option("#results-acceleration", f"{config.acceleration:g}")
        tab.select_option("#results-seed", str(config.seed))
        settle(tab)
        press(tab, "results-knob", "Home")
        for _ in titles:
            if tab.locator("#results-method").inner_text() == listed["title"]:
                break
            press(tab, "results-knob", "ArrowRight")
        said = caption(tab, "results-chart")
        assert f"{listed['title']}" in said and f"seed {config.seed}, {run.psnr():.2f} dB" in said
        assert all(warning in said for warning in run.warnings)
        pictures = tab.locator("#results-image")
        assert pictures.is_visible() == bool(len(run.shown)) != ("No reconstruction" in said)
        if len(run.shown):
            error = np.mean((run.reconstructions[0] - run.truth[0]) ** 2)
            assert (
                caption(tab, "results-image") == f"Reconstruction: {-10 * np.log10(error):.2f} dB"
            )
            shown = run.reconstructions[0].clip(0, 1)
            brightness = np.abs(shown - run.truth[0]).clip(0, 0.1) / 0.1 * 255
            # Two pictures of 8 bits differ by up to a step from the difference itself.
            assert np.abs(pixels(tab, "results-error") - brightness).max() <= 12


def test_a_phone_shows_the_knob_and_scrolls_only_down(tab):
    tab.set_viewport_size(PHONE)
    settle(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for control in ("live-knob", "live-p", "live-m", "live-histogram", "live-threshold"):
        box = tab.locator(f"#{control}").bounding_box()
        assert box["y"] + box["height"] <= PHONE["height"], control


def test_without_scripts_there_is_a_picture(file, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    picture = page.locator("noscript img")
    assert picture.is_visible() and picture.bounding_box()["width"] > 300
    assert len(picture.get_attribute("alt")) > 20
    assert not page.locator(".explorer").first.is_visible()
    context.close()


def test_the_page_has_at_most_4_mb(text):
    assert len(text.encode()) <= 4_000_000
