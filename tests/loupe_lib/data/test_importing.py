"""A folder of fastMRI becomes an image file."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from loupe_companion import cli
from loupe_companion.data_report import describe
from loupe_companion.synthetic_fastmri import write_fastmri
from loupe_lib import InputError
from loupe_lib.data import conversion
from loupe_lib.data.choice import choose, read_list
from loupe_lib.data.conversion import parts_folder
from loupe_lib.data.formats.fastmri import read_folder
from loupe_lib.data.images import SPLITS, read_images
from loupe_lib.data.importing import Selection, import_fastmri, import_files
from loupe_lib.data.storage import digest
from tests.common import cut, files_in, flip, refusal

SELECTION = Selection((24, 6, 6))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Eight volumes for training, three for validation and one for the test; two acquisitions."""
    folder = tmp_path_factory.mktemp("fastmri") / "data"
    write_fastmri(folder, 8, 3, 1, size=48, slices=6)
    return folder


def bring(root: Path, out: Path, selection: Selection = SELECTION, **settings):
    return import_fastmri(root, out, selection, **{"size": 48, **settings})


@pytest.fixture(scope="module")
def brought(root, tmp_path_factory):
    """The image file, the list of its volumes, and the report."""
    folder = tmp_path_factory.mktemp("brought")
    selection = Selection(SELECTION.split, list_to=folder / "list.tsv")
    report = bring(root, folder / "knee.h5", selection)
    return folder / "knee.h5", folder / "list.tsv", report


def stored(root: Path, name: str, dataset: str = "reconstruction_esc") -> np.ndarray:
    with h5py.File(root / f"{name}.h5") as file:
        return file[dataset][:]


def test_images_are_the_stored_reconstructions_divided_by_the_maximum_of_their_volume(
    root, brought
):
    assert sorted(files_in(brought[0].parent)) == [".knee.h5.lock", "knee.h5", "list.tsv"]
    images = read_images(brought[0])
    for split in SPLITS:
        found = getattr(images, split)
        for number, name in enumerate(found.names):
            wanted = stored(root, name)
            wanted /= wanted.max()
            np.testing.assert_allclose(found.images[found.volume == number], wanted, atol=1e-5)


def test_no_patient_is_in_two_splits(root, brought):
    patients = []
    for split in SPLITS:
        names = getattr(read_images(brought[0]), split).names
        found = set()
        for name in names:
            with h5py.File(root / f"{name}.h5") as file:
                found.add(file.attrs["patient_id"])
        patients += found
    assert len(set(patients)) == len(patients) == 4


def test_the_report_counts_used_and_unused_volumes(brought):
    report = brought[2]
    images = read_images(brought[0])
    for split in SPLITS:
        assert sum(v.slices for v in report.of(split)) == len(getattr(images, split).images)
        assert [one.name for one in report.of(split)] == list(getattr(images, split).names)
    reasons = list(report.left_out.values())
    assert reasons.count("undersampled: a file of a test set") == 1
    assert reasons.count("acquisition CORPDFS_FBK") == 5
    text = describe(report)
    assert re.search(r"^ *CORPDFS_FBK +5 +30 +0$", text, re.MULTILINE)
    assert re.search(r"^ *48 x 48 +6$", text, re.MULTILINE)


def test_a_list_repeats_a_choice_exactly(root, brought, tmp_path):
    out, names, _ = brought
    selection = Selection((1, 1, 1), seed=5, from_list=names, list_to=tmp_path / "again.tsv")
    shutil.copytree(root, tmp_path / "copy")
    (tmp_path / "copy" / "other.h5").write_text("damaged, and not listed")
    bring(tmp_path / "copy", tmp_path / "again.h5", selection)
    assert digest(tmp_path / "again.h5") == digest(out)
    assert (tmp_path / "again.tsv").read_bytes() == names.read_bytes()
    for name, (_, sha256) in read_list(names).items():
        assert digest(root / f"{name}.h5") == sha256


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_list_that_the_folder_does_not_match_is_refused(damage, root, brought, tmp_path):
    name = min(read_list(brought[1]))
    shutil.copytree(root, tmp_path / "copy")
    file = tmp_path / "copy" / f"{name}.h5"
    if damage == "missing":
        file.unlink()
        message = f"lists {name}, which cannot be found or read here"
    else:
        with h5py.File(file, "a") as volume:
            volume.attrs["norm"] = 1.0
        message = f"{name}.h5 is not the one listed: its SHA-256 is {digest(file)}"
    with pytest.raises(InputError, match=message):
        bring(tmp_path / "copy", tmp_path / "out.h5", Selection((1, 1, 1), from_list=brought[1]))
    assert not (tmp_path / "out.h5").exists()


def test_an_archive_is_to_be_unpacked(root, brought, tmp_path):
    archive = tmp_path / "data" / "knee's.tar.xz"
    archive.parent.mkdir()
    archive.write_bytes(b"")
    command = f"an archive: unpack it with tar -xf {shlex.quote(str(archive))} -C FOLDER"
    for where in (archive, archive.parent):  # itself, or where nothing else is
        assert command in refusal(bring, where, tmp_path / "knee.h5")
    shutil.copytree(root, tmp_path / "data" / "unpacked")
    report = bring(archive.parent, tmp_path / "knee.h5")
    assert report.left_out[f"data/{archive.name}"] == command
    assert digest(tmp_path / "knee.h5") == digest(brought[0])


def test_where_there_are_fewer_slices_the_splits_are_scaled(root, tmp_path):
    report = bring(root, tmp_path / "knee.h5", Selection((1895, 188, 186)))
    assert sum(v.slices for v in report.converted) == 36
    text = describe(report)
    assert "fewer slices than the 2269 asked for" in text
    wanted = re.findall(r"^ *(?:train|validation|test) +(\d+) ", text, re.MULTILINE)
    assert wanted == ["30", "3", "3"]


def test_complex_images_are_the_fourier_transforms_of_the_measured_k_space(root, tmp_path):
    report = bring(root, tmp_path / "complex.h5", is_complex=True)
    images = read_images(tmp_path / "complex.h5")
    assert images.is_complex
    for number, one in enumerate(report.of("train")):
        found = images.train.images[images.train.volume == number]
        magnitudes = stored(root, one.name)
        assert one.maximum == pytest.approx(magnitudes.max(), rel=1e-6)
        np.testing.assert_allclose(found.abs(), magnitudes / magnitudes.max(), atol=5e-5)
        # Transformed back to the oversampled image, it is the measured k-space but for what the
        # crop took away: the middle of the image that k-space itself gives.
        k = torch.from_numpy(stored(root, one.name, "kspace"))
        x = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(k, (-2, -1))), (-2, -1))
        top, left = (x.shape[-2] - 48) // 2, (x.shape[-1] - 48) // 2
        x = x[:, top : top + 48, left : left + 48] * (k.shape[-2] * k.shape[-1]) ** 0.5
        np.testing.assert_allclose(found, x / one.maximum, atol=5e-5)


def test_multi_coil_files_give_their_stored_root_sum_of_squares(tmp_path):
    write_fastmri(tmp_path / "data", 4, 2, 0, size=48, slices=2, coils=3)
    bring(tmp_path / "data", tmp_path / "knee.h5", acquisitions=["CORPD_FBK", "CORPDFS_FBK"])
    images = read_images(tmp_path / "knee.h5")
    for number, name in enumerate(images.train.names):
        wanted = stored(tmp_path / "data", name, "reconstruction_rss")
        found = images.train.images[images.train.volume == number]
        np.testing.assert_allclose(found, wanted / wanted.max(), atol=2e-5)
    write_fastmri(tmp_path / "data" / "a", 0, 0, 1, size=48, slices=2, coils=3)  # for the test
    told = r"several coils; .* single-coil data only \(this is the reason for 6 of 7 files\)$"
    with pytest.raises(InputError, match=told):
        bring(tmp_path / "data", tmp_path / "complex.h5", is_complex=True)


def test_multi_coil_data_of_a_single_coil_volume_are_left_out(root, tmp_path):
    shutil.copytree(root, tmp_path / "data")
    write_fastmri(tmp_path / "multi", 8, 3, 1, size=48, slices=2, coils=2)
    for folder in (tmp_path / "multi").iterdir():
        folder.rename(tmp_path / "data" / folder.name)
    report = bring(tmp_path / "data", tmp_path / "knee.h5")
    assert all(one.name.startswith("singlecoil") for one in report.converted)
    reasons = list(report.left_out.values())
    assert reasons.count("its single-coil data are here as well") == 11


def test_a_part_that_cannot_be_written_is_no_bad_file(root, tmp_path):
    parts_folder(tmp_path / "knee.h5").touch()
    with pytest.raises(InputError, match=r"cannot write .*npz: .* is not a folder$"):
        bring(root, tmp_path / "knee.h5", skip_bad=True)


def test_a_volume_found_twice_is_used_once(root, brought, tmp_path):
    shutil.copytree(root, tmp_path / "data" / "a")
    shutil.copytree(root / "singlecoil_train", tmp_path / "data" / "b" / "singlecoil_train")
    report = bring(tmp_path / "data", tmp_path / "knee.h5")
    assert digest(tmp_path / "knee.h5") == digest(brought[0])
    reasons = list(report.left_out.values())
    assert reasons.count("the same name as another volume") == 8


@pytest.mark.parametrize("fraction", [0, 0.5])
def test_a_file_cut_short_ends_the_command_or_is_skipped(fraction, root, tmp_path):
    shutil.copytree(root, tmp_path / "data")
    path = tmp_path / "data" / "singlecoil_train" / "file1000002.h5"
    cut(path, fraction)
    told = refusal(bring, tmp_path / "data", tmp_path / "knee.h5")
    assert told.startswith(f"{path} cannot be read as HDF5: ")
    assert told.endswith("; --skip-bad goes on without such files")
    report = bring(tmp_path / "data", tmp_path / "knee.h5", skip_bad=True)
    said = report.left_out["singlecoil_train/file1000002"]
    assert said.startswith("cannot be read as HDF5: ")


PLACE = 1729  # in a file of two slices of 32 x 32; found by flipping many
READ = "import sys, h5py; file = h5py.File(sys.argv[1]); dict(file.attrs); file['kspace'][0]"


def crashing_file(folder: Path) -> Path:
    """A synthetic fastMRI file with one bit flipped, on which HDF5 2.0 dies."""
    (path,) = write_fastmri(folder / "crashing", 1, 0, 0, size=32, slices=2)
    flip(path, PLACE)
    if subprocess.run([sys.executable, "-c", READ, path], capture_output=True).returncode >= 0:
        pytest.skip("this version of HDF5 does not crash on the file")
    return path


def test_a_file_that_crashes_hdf5_is_named_and_can_be_skipped_or_moved_away(
    root, brought, tmp_path
):
    shutil.copytree(root, tmp_path / "data")
    crashing = tmp_path / "data" / "singlecoil_val" / "file0000000.h5"
    crashing_file(tmp_path).rename(crashing)
    told = refusal(bring, tmp_path / "data", tmp_path / "knee.h5")
    assert told.startswith(f"{crashing} ends the process that reads it")
    report = bring(tmp_path / "data", tmp_path / "knee.h5", skip_bad=True)
    assert digest(tmp_path / "knee.h5") == digest(brought[0])
    said = report.left_out["singlecoil_val/file0000000"]
    assert said.startswith("ends the process that reads it: the file is corrupt")
    crashing.unlink()
    bring(tmp_path / "data", tmp_path / "moved.h5")
    assert digest(tmp_path / "moved.h5") == digest(brought[0])


def damage(root: Path, folder: Path, how: str) -> Path:
    """A copy of the folder in which one of the chosen files has a header that can be read."""
    shutil.copytree(root, folder)
    path = folder / "singlecoil_train" / "file1000001.h5"
    with h5py.File(path, "a") as file:
        images = file["reconstruction_esc"][:]
        images[2, 3, 4] = np.nan if how == "undefined" else images[2, 3, 4]
        del file["reconstruction_esc"]
        stored = file.create_dataset(
            "reconstruction_esc", data=images, chunks=(1, 48, 48), fletcher32=True
        )
        chunk = stored.id.get_chunk_info(2)
    if how == "damaged":
        flip(path, chunk.byte_offset)
    return path


@pytest.mark.parametrize("how", ["undefined", "damaged"])
def test_a_file_that_turns_out_damaged_is_named_or_skipped(how, root, tmp_path):
    path = damage(root, tmp_path / "data", how)
    every = Selection((0.8, 0.1, 0.1))
    told = refusal(bring, tmp_path / "data", tmp_path / "knee.h5", every)
    reason = told.removeprefix(f"{path}: ")
    if how == "undefined":
        assert reason.startswith(
            "slice 2 has pixels that are infinite or undefined; set them to 0 first; "
        )
    assert reason.endswith("; --skip-bad goes on without such files")
    assert not (tmp_path / "knee.h5").exists()
    report = bring(tmp_path / "data", tmp_path / "knee.h5", every, skip_bad=True)
    name = f"{path.parent.name}/{path.stem}"
    assert report.left_out[name] in reason
    assert report.left_out[name] in describe(report)
    found = [name for s in SPLITS for name in getattr(read_images(tmp_path / "knee.h5"), s).names]
    names = [one.name for one in report.converted]
    assert found == names and len(found) == 5 and "singlecoil_train/file1000001" not in found
    assert sorted(files_in(tmp_path)) == sorted(
        [".knee.h5.lock", "knee.h5", *(f"data/{name}" for name in files_in(tmp_path / "data"))]
    )


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        (".", r"cannot write \.: it is a folder; give the path of a file"),
        ("folder", "cannot write folder: it is a folder; give the path of a file"),
        ("file/knee.h5", "cannot write file/knee.h5: .*file is not a folder"),
        ("file/new/knee.h5", "cannot write file/new/knee.h5: .*file is not a folder"),
        ("locked/knee.h5", "cannot write locked/knee.h5: Permission denied"),
        ("locked/a/b.h5", "cannot write locked/a/b.h5: Permission denied"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_headers_are_read(
    out, reason, tmp_path, monkeypatch
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "locked").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    access = os.access  # root may write everywhere, whatever the mode of a folder
    monkeypatch.setattr(os, "access", lambda p, mode: "locked" not in str(p) and access(p, mode))
    for work in (
        lambda: import_fastmri(Path("nowhere"), Path(out)),
        lambda: import_files([Path("nowhere.npy")], Path(out)),
        lambda: Selection((1, 1, 1), list_to=Path(out)),
    ):
        with pytest.raises(InputError, match=f"^{reason}$"):
            work()
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        "file",
        "folder",
        "locked",
    ]


@pytest.mark.parametrize("lost", ["a.npy", "a.h5", "notes.tsv"])
def test_a_file_of_another_kind_is_not_replaced(lost, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.ones((2, 32, 32)))
    with h5py.File("a.h5", "w") as file:
        file["stack"] = np.ones((2, 32, 32))
    Path("notes.tsv").write_text("split\tmine\n")
    before = files_in(tmp_path)
    message = f"cannot write {lost}: it holds something else, which would be lost; give another"
    for work in (
        lambda: import_files([Path(lost)], Path(lost)),
        lambda: import_fastmri(Path("."), Path(lost)),
        lambda: Selection((1, 1, 1), list_to=Path(lost)),
    ):
        with pytest.raises(InputError, match=message):
            work()
    with pytest.raises(InputError, match="--out and --list must be two files; got new for both"):
        import_files([Path("a.npy")], Path("new"), Selection((1, 1, 1), list_to=Path("new")))
    assert files_in(tmp_path) == before


def test_an_image_file_and_a_list_are_replaced(root, tmp_path):
    selection = Selection(SELECTION.split, list_to=tmp_path / "list.tsv")
    for size in 32, 48:
        bring(root, tmp_path / "knee.h5", selection, size=size)
    assert read_images(tmp_path / "knee.h5").size == 48


def test_a_folder_without_fastmri_says_what_is_there(brought, tmp_path):
    with pytest.raises(InputError, match=f"^{tmp_path} holds no .h5 file$"):
        bring(tmp_path, tmp_path / "out.h5")
    with pytest.raises(InputError, match=r"no volume that can be used; .*: is an image file alr"):
        bring(brought[0], tmp_path / "out.h5")


def test_the_command_prints_each_warning_once_and_subjects(root, tmp_path, monkeypatch, capsys):
    options = ["--size", "32", "--split", "24,6,6", "--subject", "file(.*).h5", "--skip-bad"]
    monkeypatch.setattr("sys.argv", ["loupe4s", "data", "fastmri", str(root), *options])
    monkeypatch.chdir(tmp_path)
    sys.argv += ["--out", "knee.h5"]
    with pytest.raises(SystemExit) as left:
        cli.main()
    out, err = capsys.readouterr()
    assert not left.value.code
    warning = r"- Warning: cropped from 48 x 48 to 32 x 32 \(6 volumes: .*, \.{3}\)"
    assert re.search(f"^{warning}$", out, re.M) and (out + err).count("cropped") == 1
    assert re.search(r"^ *train +10000\d\d +singlecoil_train/file10000\d\d$", out, re.M)
    assert out.splitlines()[-1] == "knee.h5"


def test_a_file_that_changes_meanwhile_is_refused(root, tmp_path):
    shutil.copytree(root, tmp_path / "data")
    found, _ = read_folder(tmp_path / "data")
    choice = choose([v for v in found if v.kind == "CORPD_FBK"], SELECTION.split)
    path = next(volume.path for volume in choice if volume.split == "test")
    with h5py.File(path, "a") as file:
        shorter = file["reconstruction_esc"][:-1]
        del file["reconstruction_esc"]
        file["reconstruction_esc"] = shorter
    with pytest.raises(InputError, match=f"{path} changed: 5 slices, not 6"):
        target = conversion.Target(tmp_path / "knee.h5", "fastMRI", 48)
        conversion.convert(target, choice)
