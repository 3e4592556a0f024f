"""The embedded heads and the cohort drawn from them."""

from importlib import resources

import h5py
import numpy as np
import pytest
import torch

from loupe_lib.data.heads import SLICES, TOP, draw_cohort, load_heads
from loupe_lib.data.images import SPLITS, Images
from tests.common import refusal

ASSETS = resources.files("loupe_lib.data") / "assets"


@pytest.fixture(scope="module")
def images() -> Images:
    return draw_cohort(64, train=5 * SLICES + 3, validation=2 * SLICES, test=2 * SLICES, seed=3)


def test_asset_holds_no_slice_below_the_eyes():
    with ASSETS.joinpath("heads.h5").open("rb") as stored, h5py.File(stored) as file:
        assert set(file) == {"colin27", "mni152", "s1"}
        for data in file.values():
            # Several mm above the eyes, at 1 mm a slice.
            assert data.attrs["first_slice"] >= data.attrs["eyes_end"] + 8
            assert data.dtype == np.uint8
        assert {name: data.attrs["eyes_end"] for name, data in file.items()} == {
            "colin27": 65,
            "mni152": 0,
            "s1": 115,
        }


def test_asset_carries_its_terms():
    terms = " ".join(ASSETS.joinpath("TERMS.md").read_text().replace("\n> ", " ").split())
    assert "Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre" in terms
    assert "Copyright (c) 2013, Regents of the University of California" in terms
    assert "2. Redistributions in binary form must reproduce the above copyright" in terms
    with ASSETS.joinpath("heads.h5").open("rb") as stored, h5py.File(stored) as file:
        assert file.attrs["terms"] == "TERMS.md"
        for data in file.values():
            assert data.attrs["taken_from"].split("/")[-1].split()[-1] in terms
            assert len(data.attrs["source_sha256"]) == 64


def test_heads_are_whole_and_read_only():
    for head in load_heads().values():
        assert head.voxel_mm == 1.0 and "T1-weighted" in head.title
        # Background at the four sides, below the crown: a deformed head is never cut by its box.
        below = head.volume[: -round(TOP / 2)]
        sides = [below[:, [0, -1]], below[:, :, [0, -1]]]
        assert max(side.max() for side in sides) < 5
        with pytest.raises(ValueError, match="read-only"):
            head.volume[0, 0, 0] = 1


def test_a_seed_gives_the_same_bytes_first_of_a_larger_cohort_and_another_seed_others(images):
    same, other = (
        draw_cohort(64, train=SLICES, validation=SLICES, test=SLICES, seed=seed) for seed in (3, 4)
    )
    for name in SPLITS:
        first = getattr(images, name).images[:SLICES]
        assert torch.equal(getattr(same, name).images, first)
        assert (getattr(other, name).images - first).abs().max() > 0.1


def test_splits_share_no_subject_and_no_test_head(images):
    names = [set(getattr(images, name).names) for name in SPLITS]
    assert len(set.union(*names)) == sum(map(len, names)) == 6 + 2 + 2
    train, validation, test = ({name.split("-")[0] for name in split} for split in names)
    assert train == validation == {"colin27", "mni152"}
    assert test == {"s1"}


def test_any_head_can_be_that_of_the_test(images):
    other = draw_cohort(64, 2 * SLICES, 2 * SLICES, SLICES, seed=3, test_head="colin27")
    heads = [{name.split("-")[0] for name in getattr(other, split).names} for split in SPLITS]
    assert heads == [{"mni152", "s1"}, {"mni152", "s1"}, {"colin27"}]
    assert "tested on colin27" in other.source and "tested on" not in images.source


def test_no_two_subjects_are_alike(images):
    firsts = torch.cat([getattr(images, name).images[::SLICES] for name in SPLITS])
    distances = torch.cdist(firsts.flatten(1), firsts.flatten(1)) / 64  # RMS of the difference
    distances.fill_diagonal_(1)
    assert distances.min() > 0.03  # three times the strongest noise


def test_each_volume_is_scaled_by_its_maximum(images):
    for name in SPLITS:
        split = getattr(images, name)
        assert split.images.min() >= 0
        for index in range(len(split.names)):
            assert split.images[split.volume == index].max() == 1
    # 83 slices are 5 subjects of 16 and one of 3.
    assert images.train.volume.bincount().tolist() == [SLICES] * 5 + [3]
    assert images.source == "heads cohort, seed 3"


def test_head_stays_in_view_and_noise_is_low(images):
    for name in SPLITS:
        stack = getattr(images, name).images
        ring = torch.cat([stack[:, [0, -1]].flatten(1), stack[:, :, [0, -1]].flatten(1)], 1)
        assert ring.max() < 0.06  # noise of 0.01 at most, and no head
        assert (stack > 0.1).float().mean() > 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 40}, "size must be a multiple of 16, at least 32; got 40"),
        ({"train": 0}, "train must be a whole number of at least 1; got 0"),
        ({"test": -1}, "test must be a whole number of at least 1; got -1"),
        ({"seed": -2}, "seed must be a whole number of at least 0; got -2"),
        ({"test_head": "me"}, "test_head must be one of colin27, mni152, s1; got 'me'"),
    ],
)
def test_bad_values_are_refused(change, message):
    given = {"size": 32, "train": 1, "validation": 1, "test": 1, **change}
    assert refusal(draw_cohort, **given) == message


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("size", [64, 128, 320])
def test_gpu_gives_the_same_images(size):
    cpu = draw_cohort(size, train=2 * SLICES, validation=1, test=SLICES)
    gpu = draw_cohort(size, train=2 * SLICES, validation=1, test=SLICES, device="cuda")
    for name in SPLITS:
        difference = getattr(cpu, name).images - getattr(gpu, name).images
        assert difference.abs().max() < 1e-3
