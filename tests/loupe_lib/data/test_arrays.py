"""Stacks in ``.npy`` and HDF5 files become volumes, or are refused with the reason."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from loupe_lib import InputError
from loupe_lib.data.formats.arrays import open_array
from loupe_lib.data.formats.checks import LARGEST
from loupe_lib.data.volumes import Volume
from tests.common import ROOT, refusal

STACK = "group/stack"
ARRAY = np.random.default_rng(0).random((4, 9, 8)).astype(np.float32)


def write(path: Path, array: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        with h5py.File(path, "w") as file:
            file[STACK] = array


def read(path: Path, axis: str | None = None) -> Volume:
    return open_array(path, STACK, axis)


both = pytest.mark.parametrize("name", ["a.npy", "a.h5"])


@both
@pytest.mark.parametrize("axis", [None, "0", "1", "2"])
def test_slices_lie_along_the_axis_named(axis, name, tmp_path):
    write(tmp_path / name, ARRAY)
    stack = read(tmp_path / name, axis)
    wanted = np.moveaxis(ARRAY, int(axis or 0), 0)
    np.testing.assert_array_equal(np.stack(list(stack.read())), wanted)
    assert (stack.slices, *stack.shape) == wanted.shape
    assert (stack.patient, stack.spacing, stack.warnings) == ("", None, ())


@both
@pytest.mark.parametrize(
    ("shape", "first", "better", "named"),
    [
        ((9, 9, 4), "9 x 4", "9 x 9", "2"),
        ((9, 4, 9), "4 x 9", "9 x 9", "1"),
        ((60, 50, 12), "50 x 12", "60 x 50", "2"),
        ((50, 12, 60), "12 x 60", "50 x 60", "1"),
    ],
)
def test_an_array_whose_slices_seem_to_lie_along_another_axis_needs_an_axis(
    shape, first, better, named, name, tmp_path
):
    array = np.random.default_rng(0).random(shape)
    write(tmp_path / name, array)
    told = f"has slices of {first} along axis 0, and of {better} along axis {named}: give --axis "
    assert f"{told}{named}, or --axis 0 if {first} is right" in refusal(read, tmp_path / name)
    for axis in "0", named:
        images = np.stack(list(read(tmp_path / name, axis).read()))
        np.testing.assert_array_equal(images, np.moveaxis(array, int(axis), 0))


@both
@pytest.mark.parametrize("shape", [(4, 9, 9), (9, 9, 9), (20, 50, 17), (2, 64, 16)])
def test_slices_come_first_where_it_is_not_doubtful(shape, name, tmp_path):
    write(tmp_path / name, np.ones(shape))
    stack = read(tmp_path / name)
    assert (stack.slices, *stack.shape) == shape


@both
@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 4), np.float32), "must have three dimensions; got 3 x 4"),
        (np.zeros((3, 0, 4), np.float32), "must have three dimensions; got 3 x 0 x 4"),
        (np.zeros((3, 4, 5, 2), np.float32), "3 x 4 x 5 x 2; save one of its volumes as a file"),
        (np.zeros((3, 2, 4, 4), np.complex64), "got complex64; save magnitudes (of k-space, the"),
        (np.zeros((3, 4, 4), "S4"), "must be real numbers; got |S4"),
    ],
)
def test_other_arrays_are_refused(array, reason, name, tmp_path):
    write(tmp_path / name, array)
    told = refusal(read, tmp_path / name)
    assert told.startswith(str(tmp_path / name)) and reason in told


def test_the_book_makes_magnitudes_of_k_space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    coils = ARRAY[:, None] * np.array([0.6, 0.8j])[:, None, None]  # (slices, coils, rows, columns)
    axes = (2, 3)
    kspace = np.fft.fft2(np.fft.ifftshift(coils, axes), axes=axes, norm="ortho")
    Path("kspace").mkdir()
    write(Path("kspace/a.npy"), np.fft.fftshift(kspace, axes).astype(np.complex64))
    page = (ROOT / "book" / "reproduce.md").read_text("utf-8")
    exec(page.partition("complex k-space")[2].split("```python\n")[1].partition("```")[0], {})
    found = np.stack(list(read(Path("scans/a.npy")).read()))
    np.testing.assert_allclose(found, ARRAY, atol=1e-5)


@both
def test_a_plane_of_the_body_is_refused(name, tmp_path):
    write(tmp_path / name, ARRAY)
    with pytest.raises(InputError, match="axis must be one of 0, 1, 2 for an array; got 'axial'"):
        read(tmp_path / name, "axial")


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (None, "dataset must be named; the file has .*group"),
        ("group/none", "/group/none is missing"),
        ("group", "group must be a dataset; it is a group with stack"),
        ("link", "link must be stored in the file itself"),
        ("elsewhere/stack", "elsewhere/stack must be stored in the file itself"),
        ("large", f"a volume has {4 << 30} bytes; at most {LARGEST} can be read"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused(dataset, reason, tmp_path):
    write(tmp_path / "other.h5", ARRAY)
    write(tmp_path / "a.h5", ARRAY)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["link"] = h5py.ExternalLink("other.h5", STACK)
        file["elsewhere"] = h5py.ExternalLink("other.h5", "group")
        file.create_dataset("large", (1024, 1024, 1024), np.float32)
    with pytest.raises(InputError, match=reason):
        open_array(tmp_path / "a.h5", dataset)
