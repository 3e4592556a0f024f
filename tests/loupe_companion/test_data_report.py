"""What the report of a conversion warns of, and how volumes become images that need a warning."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loupe_companion.data_report import describe, warnings
from loupe_companion.tables import markdown
from loupe_lib.data.choice import choose, read_list
from loupe_lib.data.conversion import Target, convert
from loupe_lib.data.formats.any_file import open_file
from loupe_lib.data.images import SPLITS, read_images
from loupe_lib.data.importing import FRACTIONS, Report, Selection, import_files
from tests.common import refusal


def save(folder: Path, *arrays: np.ndarray) -> list[Path]:
    paths = [folder / f"{letter}.npy" for letter, _ in zip("abcdefg", arrays, strict=False)]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return paths


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def warnings_of(volumes) -> list[str]:
    target = Target(Path("out.h5"), "images", 32)
    return warnings(Report(target, Selection(FRACTIONS), volumes, volumes, volumes, {}))


def test_the_maximum_is_that_of_the_whole_volume_whatever_is_cropped(tmp_path):
    arrays = [images(2, 40, 36, seed=n) for n in range(3)]
    for number, array in enumerate(arrays):
        array[1, 0, 35] = 4 + number  # in a corner, which the crop takes away
    paths = save(tmp_path, *arrays)
    report = import_files(paths, tmp_path / "out.h5", size=32)
    found = read_images(tmp_path / "out.h5")
    for one in report.converted:
        array = arrays["abc".index(one.name[0])]
        assert one.maximum == array.max() >= 4
        middle = array[:, 4:36, 2:34] / array.max()
        np.testing.assert_allclose(getattr(found, one.split).images, middle, atol=1e-5)
    assert warnings(report) == [
        "cropped from 40 x 36 to 32 x 32 (3 volumes: " + ", ".join(
            one.name for one in report.converted
        ) + ")"
    ]  # fmt: skip


def test_pixels_below_zero_are_refused_or_become_zero(tmp_path):
    arrays = [images(2, 32, 32, seed=n) for n in range(3)]
    arrays[1][1, 2, 3] = -7.0
    paths = save(tmp_path, *arrays)
    assert refusal(import_files, paths, tmp_path / "out.h5") == (
        f"{paths[1]}: slice 1 has pixels below 0; data import --clip-negative sets them to 0"
    )
    report = import_files(paths, tmp_path / "out.h5", clip_negative=True)
    (one,) = [one for one in report.converted if one.name == "b.npy"]
    found = getattr(read_images(tmp_path / "out.h5"), one.split).images
    wanted = arrays[1].clip(0)
    assert wanted[1, 2, 3] == found[1, 2, 3] == 0 and one.maximum == arrays[1].max()
    np.testing.assert_allclose(found, wanted / wanted.max(), atol=1e-5)


def test_each_kind_of_warning_is_one_line_with_three_names(tmp_path):
    small, large = images(2, 40, 64), images(2, 70, 50)
    labels = np.arange(2 * 128 * 12).reshape(2, 128, 12).repeat(10, axis=2).astype(float)
    paths = save(tmp_path, small, small, small, small, large, labels, labels[:, :100, :100] + 0.5)
    report = import_files(paths, tmp_path / "out.h5", size=112)
    names = {one.name: one.warnings for one in report.converted}
    padded = [name for name in names if name in ("a.npy", "b.npy", "c.npy", "d.npy")]
    assert sorted(warnings(report)) == [
        "cropped from 128 x 120 to 112 x 112 (1 volume: f.npy)",
        f"padded with zeros from 40 x 64 to 112 x 112 (4 volumes: {', '.join(padded[:3])}, ...)",
        "padded with zeros from 70 x 50 to 112 x 112 (1 volume: e.npy)",
        "whole numbers, most of them equal to their neighbours: labels and not an image? "
        "(1 volume: f.npy)",
    ]
    assert names["g.npy"] == ()  # no smaller size holds 100 x 100, and its values are not whole
    for warning in warnings(report):
        assert f"\n- Warning: {warning}" in describe(report)


def test_zeros_around_one_side_are_a_warning(tmp_path):
    paths = save(tmp_path, *(images(2, 64, columns) for columns in (48, 49, 64)))
    report = import_files(paths, tmp_path / "out.h5")
    assert warnings(report) == ["padded with zeros from 64 x 48 to 64 x 64 (1 volume: a.npy)"]


@pytest.mark.parametrize("levels", [16, 256])
def test_an_image_of_few_values_is_not_taken_for_labels(levels, tmp_path):
    """As a scan, it has zeros around it."""
    values = np.random.default_rng(0).integers(1, levels, (3, 2, 32, 32)).astype(np.uint8)
    values[:, :, :, :20] = 0
    report = import_files(save(tmp_path, *values), tmp_path / "out.h5")
    assert warnings(report) == [] and "Warning" not in describe(report)
    assert "\n| train " in describe(report, markdown) and "|" not in describe(report)


def test_warnings_of_headers_and_of_voxel_sizes_that_differ(tmp_path):
    paths = save(tmp_path, *(images(2, 32, 32) for _ in range(3)))
    a, b, c = (replace(open_file(path), name=path.name, patient=path.name) for path in paths)
    gap = "slice 12 is missing: a gap of 6 mm"
    volumes = [
        replace(a, spacing=(3.0, 0.5, 0.5)),
        replace(b, spacing=(3.0, 0.5, 0.50001)),
        replace(c, spacing=(1.0, 1.0, 1.0), warnings=(gap,)),
    ]
    converted, _ = convert(Target(tmp_path / "out.h5", "images", 32), choose(volumes, FRACTIONS))
    of_headers, sizes = warnings_of(converted)
    assert of_headers == f"{gap} (1 volume: c.npy)"
    assert sizes.startswith("the voxel sizes differ: ")
    assert "1 x 1 x 1 mm (1 volume: c.npy)" in sizes
    assert sizes.count("3 x 0.5 x 0.5 mm (2 volumes: ") == 1
    alike = [replace(volume, spacing=(1.0, 1.0, 1.0)) for volume in (a, b, c)]
    assert warnings_of(alike) == warnings_of([volumes[0], b, c]) == []


def test_a_list_that_puts_a_subject_into_two_splits_is_reported(tmp_path):
    paths = save(tmp_path, *(images(1, 32, 32, seed=n) for n in range(4)))
    first = Selection((1, 1, 1), list_to=tmp_path / "list.tsv")
    assert warnings(import_files(paths, tmp_path / "out.h5", first)) == []
    listed = "|".join(read_list(tmp_path / "list.tsv"))
    rule = f"/(?:{listed.replace('.npy', '')})[.](npy)"  # matches no part of the fourth path
    again = Selection((1, 1, 1), from_list=tmp_path / "list.tsv", subject=rule)
    report = import_files(paths, tmp_path / "out.h5", again)
    assert [{v.patient for v in report.of(split)} for split in SPLITS] == 3 * [{"npy"}]
    assert warnings(report) == ["1 patient is in more than one split of the list"]
