"""Volumes of other formats become an image file."""

import glob
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from loupe_companion.cli import main
from loupe_companion.data_report import describe
from loupe_lib import InputError
from loupe_lib.data import conversion
from loupe_lib.data.formats.dicom import open_series
from loupe_lib.data.formats.nifti import open_nifti
from loupe_lib.data.heads import load_heads
from loupe_lib.data.images import SPLITS, read_images
from loupe_lib.data.importing import Selection, import_files
from tests.common import ROOT, cut, files_in, refusal

pytest.importorskip("nibabel")
pytest.importorskip("highdicom")

from tests.loupe_lib.data.medical_files import (
    as_ras,
    head,
    write_enhanced,
    write_nifti,
    write_series,
)

LPS = np.diag([-2, -3, 5, 1])  # of columns from the right, rows from anterior, in RAS


def bring(paths, out: Path, **settings):
    selection = settings.pop("selection", Selection((0.4, 0.3, 0.3)))
    return import_files(paths, out, selection, **settings)


def three(tmp_path: Path, write, suffix: str) -> list[Path]:
    """Three files of as many people."""
    paths = []
    for name in load_heads():
        paths.append(tmp_path / f"{name}{suffix}")
        write(paths[-1], head(name))
    return paths


def volumes(path: Path) -> dict[str, np.ndarray]:
    """Name of a volume -> its images."""
    images = read_images(path)
    splits = [getattr(images, name) for name in SPLITS]
    return {
        name: split.images[split.volume == number].numpy()
        for split in splits
        for number, name in enumerate(split.names)
    }


def assert_is(found: np.ndarray, wanted: np.ndarray) -> None:
    """The same slices, fitted to the size and divided by their maximum."""
    _, rows, columns = wanted.shape
    top, left = (found.shape[1] - rows) // 2, (found.shape[2] - columns) // 2
    middle = found[:, top : top + rows, left : left + columns]
    np.testing.assert_allclose(middle, wanted / wanted.max(), atol=1e-5)
    assert found.sum() == pytest.approx(middle.sum())


def write_npy(path: Path, volume: np.ndarray) -> None:
    np.save(path, volume)


def write_hdf5(path: Path, volume: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["group/stack"] = volume


def write_dicom(folder: Path, volume: np.ndarray, patient: str = "") -> None:
    write_series(folder, as_ras(volume)[::-1, ::-1], LPS, PatientID=patient or folder.name)


WRITERS = {".nii": write_nifti, ".npy": write_npy, ".h5": write_hdf5}


@pytest.mark.parametrize("suffix", [*WRITERS, "-dicom"])
def test_each_file_is_one_volume_divided_by_its_maximum(suffix, tmp_path):
    paths = three(tmp_path, WRITERS.get(suffix, write_dicom), suffix)
    settings = {"dataset": "group/stack"} if suffix == ".h5" else {}
    report = bring(paths, tmp_path / "out.h5", **settings)
    found = volumes(tmp_path / "out.h5")
    assert report.target.size == 48  # the smallest multiple of 16 that holds 40 rows
    for name, path in zip(load_heads(), paths, strict=True):
        assert_is(found[path.name], head(name))
    assert [len(report.of(split)) for split in SPLITS] == [1, 1, 1]
    assert re.search("^ *40 x 32 +3$", describe(report), re.MULTILINE)


def test_the_patient_is_that_of_dicom_or_bids(tmp_path):
    paths = []
    for patient, visit in itertools.product("abc", (1, 2)):
        paths.append(tmp_path / f"visit-{patient}{visit}")
        write_dicom(paths[-1], head(), patient=f"patient {patient}")
        paths.append(tmp_path / f"sub-{patient}_ses-{visit}_T1w.npy")
        write_npy(paths[-1], head())
    report = bring(paths, tmp_path / "out.h5")
    patients = [{v.patient for v in report.of(split)} for split in SPLITS]
    wanted = {f"patient {p}" for p in "abc"} | {f"sub-{p}" for p in "abc"}
    assert set.union(*patients) == wanted and sum(map(len, patients)) == 6
    assert "patient a" not in (tmp_path / "out.h5").read_bytes().decode("latin1")


@pytest.mark.parametrize("change", ["nothing", "axis", "size", "clip_negative", "file"])
def test_a_volume_is_converted_again_if_it_changes_or_is_read_otherwise(
    change, tmp_path, monkeypatch
):
    paths = three(tmp_path, lambda path, volume: np.save(path, volume[:, :32, :32]), ".npy")
    with monkeypatch.context() as patch:  # a full disk leaves the converted volumes there
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
        with pytest.raises(
            InputError, match=r"cannot write .*out.h5: it needs \d+ MB, and 0 MB are"
        ):
            bring(paths, tmp_path / "out.h5")
    (left,) = tmp_path.glob("*.parts")
    before = set(os.listdir(left))
    if change == "file":
        for path in paths:
            np.save(path, np.load(path) + 1)
    settings = {"axis": "1", "size": 48, "clip_negative": True}
    asked = {name: value for name, value in settings.items() if name == change}
    tasks: list[int] = []
    read = conversion.read_in_workers
    monkeypatch.setattr(
        conversion, "read_in_workers", lambda *args: tasks.append(len(args[1])) or read(*args)
    )
    bring(paths, tmp_path / "out.h5", **asked)
    assert len(before) == 3 and tasks == [0 if change == "nothing" else 3]
    found = volumes(tmp_path / "out.h5")
    for path in paths:
        axis = int(asked.get("axis", 0))
        assert_is(found[path.name], np.moveaxis(np.load(path), axis, 0))


def refused(paths, tmp_path: Path, **settings) -> str:
    before = files_in(tmp_path)
    told = refusal(bring, paths, tmp_path / "out.h5", **settings)
    after = files_in(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not (tmp_path / "out.h5").exists()
    return told


UNDEFINED = "slice 2 has pixels that are infinite or undefined; set them to 0 first"


@pytest.mark.parametrize(
    ("value", "told"),
    [(np.nan, UNDEFINED), (np.inf, UNDEFINED), (0, "no image: its largest magnitude is 0")],
)
def test_pixels_that_make_no_image_are_refused(value, told, tmp_path):
    paths = three(tmp_path, write_npy, ".npy")
    array = np.zeros((3, 40, 32), np.float32)
    array[2, 5, 6] = value
    np.save(paths[1], array)
    assert refused(paths, tmp_path) == f"{paths[1]}: {told}"


@pytest.mark.parametrize("suffix", [*WRITERS, "-dicom"])
def test_files_cut_short_are_refused(suffix, tmp_path):
    paths = three(tmp_path, WRITERS.get(suffix, write_dicom), suffix)
    cut(paths[1] if paths[1].is_file() else sorted(paths[1].iterdir())[3], 0.5)
    message = refused(paths, tmp_path, dataset="group/stack" if suffix == ".h5" else None)
    assert str(paths[1]) in message


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("a.npy", {"size": 40}, "size must be a multiple of 16, at least 32; got 40"),
        ("a.npy", {"dataset": "stack"}, "--dataset is for HDF5 files, and none is given"),
        (
            "a.h5",
            {"dataset": "group/stack", "echo": 1},
            "--series and --echo are for DICOM files, and none is",
        ),
        ("a.npy", {"series": "1"}, "--series and --echo are for DICOM files, and none is given"),
        ("a.txt", {}, "must be a .nii, .nii.gz, .npy, .h5 or DICOM file"),
        ("empty", {}, "there is no DICOM file in it"),
        ("a.npy", {}, "need at least three patients; these files are of 1 (a.npy). Give files of"),
    ],
)
def test_mistakes_are_one_line(name, settings, reason, tmp_path):
    for suffix, write in WRITERS.items():
        write(tmp_path / f"a{suffix}", head())
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    assert reason in refused([tmp_path / name], tmp_path, **settings)


def test_a_file_given_twice_is_refused(tmp_path):
    paths = three(tmp_path, write_npy, ".npy")
    assert "colin27.npy is given twice" in refused([*paths, paths[0]], tmp_path)


@pytest.mark.parametrize(("read", "package"), [(open_nifti, "nibabel"), (open_series, "pydicom")])
def test_a_missing_package_is_one_line(read, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf'needs {package}: pip install "loupe_lib\[images\]"'):
        read(Path("head"))


ARRAY = (
    "save the slices of each volume as one array (slices, rows, columns) with numpy.save, and give "
    "that .npy file"
)


@pytest.mark.parametrize(
    ("suffix", "kind", "works"),
    [
        (".nii.gz", "NIfTI file", "give the files themselves"),
        (".npy", "NumPy file", "give the files themselves"),
        (
            ".h5",
            "HDF5 file",
            "give the files themselves, or read a folder of fastMRI by `data fastmri`",
        ),
        (".png", "picture", ARRAY),
        (".JPG", "picture", ARRAY),
    ],
)
def test_a_folder_of_other_files_says_what_it_is_and_what_would_work(suffix, kind, works, tmp_path):
    files = [tmp_path / f"study/sub-{person}/anat/sub-{person}_T1w{suffix}" for person in (1, 2)]
    for file in files:
        file.parent.mkdir(parents=True)
        WRITERS.get(suffix, lambda path, _: path.touch())(file, head())
    told = f"not a DICOM series, but a folder of 2 {kind}s, such as {files[0]}: {works}"
    assert refused([tmp_path / "study"], tmp_path).endswith(told)
    if kind == "picture":
        assert refused([files[0]], tmp_path).endswith(f"{suffix} is a picture: {works}")


def test_a_folder_of_folders_of_dicom_names_the_pattern_of_those_that_hold_files(tmp_path):
    root = tmp_path / "dicom"
    for name in load_heads():
        (root / name / "study").mkdir(parents=True)
        (root / name / "preview.jpg").touch()
        write_dicom(root / name / "study" / "1", head(name), patient=name)
    (root / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    told = refused([root], tmp_path)
    lies = f"in folders below it, such as {root}/colin27/study/1/IM00-0: give these folders, "
    assert lies in told
    folders = [Path(path) for path in glob.glob(told.partition(lies)[2])]
    report = bring(folders, tmp_path / "out.h5")
    assert sorted(v.name for v in report.converted) == [f"{n}/study/1" for n in load_heads()]


def test_files_that_are_slices_of_one_series_are_refused_by_their_folders(tmp_path):
    files = []
    for number, name in enumerate([*load_heads(), "again"]):
        uid = {"SeriesInstanceUID": f"1.2.{number}", "PatientID": name}
        files.append(write_series(tmp_path / name, as_ras(head()), LPS, **uid))
    told = refused([*itertools.chain(*files)], tmp_path)
    assert told.startswith(f"{files[0][0]} and other files are slices of one DICOM series: ")
    folders = ", ".join(str(tmp_path / name) for name in ("again", "colin27", "mni152"))
    assert told.endswith(
        f"instead of the files, give the folder of each series: {folders} and 1 more"
    )
    report = bring([paths[0] for paths in files], tmp_path / "out.h5")  # a slice of each
    assert [v.slices for v in report.converted] == 4 * [1]


def test_files_of_many_frames_of_one_series_are_volumes(tmp_path):
    for name in load_heads():
        write_enhanced(tmp_path / name, as_ras(head(name)), PatientID=name)
    report = bring([tmp_path / name for name in load_heads()], tmp_path / "out.h5")
    assert [v.slices for v in report.converted] == 3 * [12]


def test_the_command_chooses_series_and_echo(tmp_path, capsys, monkeypatch):
    folders = []
    for name in load_heads():
        folders.append(tmp_path / name)
        volume = as_ras(head(name))[::-1, ::-1]
        for echo, array in (1, 255 - volume), (2, volume):
            attributes = {"PatientID": name, "EchoNumbers": echo, "SeriesNumber": 4}
            write_series(folders[-1], array, LPS, **attributes)
        localizer = {"SeriesInstanceUID": "1.2.9", "SeriesNumber": 9, "EchoNumbers": 9}
        write_series(folders[-1], volume[:, :, :2], LPS, **localizer)
    command = ["data", "import", *map(str, folders), "--out", str(tmp_path / "out.h5")]
    command += ["--split", "0.4,0.3,0.3", "--size", "64", "--series", "4", "--echo", "2"]
    monkeypatch.setattr(sys, "argv", ["loupe4s", *command])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert capsys.readouterr().out.startswith("images: magnitude images, 64 x 64\n")
    for name, images in volumes(tmp_path / "out.h5").items():
        assert_is(images, head(name))


def test_the_readers_of_others_print_nothing(tmp_path):
    """Nibabel logs what is odd in a header, pydicom warns of it."""
    write_nifti(tmp_path / "a.nii", head())
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[0] = 0  # of the size of the header, 348
    (tmp_path / "a.nii").write_bytes(content)
    write_series(tmp_path / "b", as_ras(head()), SeriesInstanceUID="9.9.9")
    for file in (tmp_path / "b").iterdir():
        file.write_bytes(file.read_bytes().replace(b"9.9.9", b"9.9.x"))  # no UID
    script = """if True:
        import sys
        from pathlib import Path
        from loupe_lib.data.formats.dicom import open_series
        from loupe_lib.data.formats.nifti import open_nifti
        for stack in open_nifti(Path("a.nii")), open_series(Path("b")):
            print(sum(1 for image in stack.read()))
    """
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == ("12\n12\n", "")
