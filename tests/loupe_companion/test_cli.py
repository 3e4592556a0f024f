"""The command line, as a user types it."""

import inspect
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib import image

import loupe_lib
from loupe_companion import cli, cli_data
from loupe_companion.profiles import PROFILES
from loupe_companion.results import read_results, write_results
from loupe_companion.store import CONFIG, result_file
from loupe_companion.synthetic_fastmri import write_fastmri
from loupe_lib.data import importing
from loupe_lib.data.heads import draw_cohort
from loupe_lib.data.images import SPLITS, read_images, write_images
from loupe_lib.data.storage import digest
from loupe_lib.training.checkpoint import read_weights
from tests.common import cut, edited, files_in, fixed, smoke


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


@pytest.fixture
def loupe(capsys, monkeypatch, tmp_path):
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["loupe4s", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        return Ran(left.value.code or 0, out, err)

    return run


COMMANDS = [
    *("data", "data heads", "data show", "data synthetic", "data fastmri", "data import"),
    *("train", "sweep", "train-pack", "collect", "runs"),
    *("bench", "beyond", "evaluate", "export-mask"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_describes_a_command_and_its_options(command, loupe):
    ran = loupe(*command.split(), "--help")
    assert ran.status == 0 and ran.err == ""
    usage, sentence = ran.out.split("\n\n")[:2]
    assert usage.startswith("Usage: ") and command in usage
    assert sentence.strip().endswith(".")
    for line in re.findall(r"^  --(?!help)\S+.*(?:\n {20,}.*)*", ran.out, re.MULTILINE):
        assert len(re.sub(r"--\S+|<\S+>|\[default:[^]]*\]", "", line).strip()) > 5, line


def test_help_lists_the_commands_and_profiles(loupe):
    ran = loupe("--help")
    assert ran.status == 0
    for command in {command.split()[0] for command in COMMANDS}:
        assert re.search(rf"^  {command} +[A-Z]", ran.out, re.MULTILINE)
    assert ", ".join(PROFILES) + "." in " ".join(loupe("sweep", "--help").out.split())


@pytest.mark.parametrize("command", ["--help", "sweep --help", "data fastmri --help"])
def test_help_does_not_wait_for_torch(command):
    script = """
import sys
from loupe_companion.cli import main
try:
    main()
except SystemExit as leaving:
    sys.exit(leaving.code or "torch" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script, *command.split()], check=True)


def test_the_defaults_of_data_are_those_of_the_library():
    options = inspect.signature(cli_data.fastmri).parameters
    assert options["size"].default == importing.PAPER_SIZE
    assert options["acquisition"].default == importing.PAPER_ACQUISITION
    assert options["split"].default == ",".join(map(str, importing.PAPER_SPLIT))
    split = inspect.signature(cli_data.import_images).parameters["split"].default
    assert split == ",".join(map(str, importing.FRACTIONS))


def test_version(loupe):
    assert loupe("--version") == Ran(0, f"loupe4s {loupe_lib.__version__}\n", "")


def test_a_fastmri_folder_becomes_an_image_file(loupe, tmp_path):
    write_fastmri(tmp_path / "data", 6, 2, 1, size=32, slices=4)
    options = ["--size", 32, "--split", "8,4,4", "--acquisition", "CORPDFS_FBK, CORPD_FBK"]
    ran = loupe("data", "fastmri", "data", "--out", "knee.h5", *options, "--list", "list.tsv")
    assert ran.status == 0 and "acquisition CORPD" not in ran.out, ran.err
    assert ran.out.startswith("fastMRI: magnitude images, 32 x 32\n")
    assert "undersampled: a file of a test set" in ran.out
    assert ran.out.splitlines()[-1] == "knee.h5"
    options = ["--size", 32, "--from-list", "list.tsv", "--complex"]
    ran = loupe("data", "fastmri", "data", "--out", "complex.h5", *options)
    assert ran.status == 0 and "32 x 32, complex" in loupe("data", "show", "complex.h5").out
    assert read_images("complex.h5").train.names == read_images("knee.h5").train.names


def test_the_smallest_synthetic_folder_becomes_an_image_file(loupe):
    sizes = ["--train", 6, "--val", 1, "--size", 32, "--slices", 2]
    ran = loupe("data", "synthetic", "several", *sizes, "--test", 1, "--coils", 3)
    assert (ran.status, ran.err) == (0, "")
    paths = [Path(line) for line in ran.out.splitlines()]
    assert [path.parent.name for path in paths] == [
        *(f"multicoil_{name}" for name in [*["train"] * 6, "val", "test"])
    ]
    with h5py.File(paths[0]) as file:
        assert file["kspace"].shape == (2, 3, 64, 36)
    assert loupe("data", "synthetic", "folder", *sizes, "--test", 0).status == 0
    ran = loupe("data", "fastmri", "folder", "--out", "knee.h5", "--size", 32)
    assert ran.status == 0, ran.err
    assert [len(getattr(read_images("knee.h5"), name).names) for name in SPLITS] == [2, 1, 1]


CLAIMS = [*("sweep", "--profile", "claims-smoke"), *("--out", "claims.h5"), "--methods"]


def test_methods_are_trained_in_parts_into_one_file_without_pictures(loupe):
    first = loupe(*CLAIMS, "disc lines")
    assert first.out.startswith("runs to train: 1, at most 3 epochs in all, on "), first.err
    assert "\nR=4 disc lines seed 0 " in first.out
    second = loupe(*CLAIMS, "4S s0=200 p=4")
    assert "\nR=4 4S s0=200 p=4 seed 0 " in second.out and "disc" not in second.out
    results = read_results("claims.h5")
    assert sorted(r.config.label for r in results) == ["R=4 4S seed 0", "R=4 disc lines seed 0"]
    assert all(r.truth.shape == (0, 32, 32) and len(r.shown) == 0 for r in results)
    before = files_in(Path())
    again = loupe(*CLAIMS, "disc lines,4S s0=200 p=4")
    assert again.out.startswith("nothing to train: all runs are there\n")
    assert files_in(Path()) == before


def test_collected_runs_of_the_extended_profile_are_not_trained_again(loupe, trained):
    write_results(trained.results, Path("results") / "smoke.h5")
    assert loupe(*CLAIMS, "4S").status == 0  # before there is a file of results
    ran = loupe(*CLAIMS, "4S,uniform")
    kept = next(r for r in trained.results if r.config == smoke(slope=20.0))
    assert f"{kept.psnr():.2f}" in ran.out and "R=4 uniform seed 0" in ran.out, ran.err
    assert [r.config.mask for r in read_results("claims.h5")] == ["uniform"]


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ([], smoke(slope=20.0)),
        (["--slope", 2000, "--acceleration", 8, "--seed", 1], fixed(2000, acceleration=8, seed=1)),
        (["--patience", 1, "--factor", 3], smoke(slope=20.0, patience=1, factor=3)),
    ],
)
def test_train(options, config, loupe, tmp_path):
    ran = loupe("train", "--profile", "smoke", "--device", "cpu", *options)
    assert ran.status == 0
    (result,) = read_results(result_file(tmp_path / "runs", config))
    *_, row, weights = ran.out.splitlines()
    assert read_weights(Path(weights))[1] == config
    assert row.startswith(config.label)
    assert result.warnings
    columns = [
        f"{result.slope:.0f}",
        f"{result.psnr():.2f}",
        f"{result.achieved_acceleration():.2f}",
        f"{result.psnr('topk'):.2f}",
        f"{result.soft_share:.1%}",
        "; ".join(result.warnings),
    ]
    assert row.removeprefix(config.label).split(maxsplit=5) == columns
    before = files_in(tmp_path)
    assert loupe("train", "--profile", "smoke", "--device", "cpu", *options).out == ran.out
    assert files_in(tmp_path) == before


def test_sweep(trained, loupe, tmp_path):
    options = ["--profile", "smoke", "--accelerations", "4,8", "--slopes", "200,2000"]
    options += ["--seeds", "0,1", "--runs", trained.runs, "--out", "all.h5"]
    ran = loupe("sweep", *options)
    assert ran.status == 0, ran.err
    *_, header = ran.out.splitlines()[: -1 - len(trained.results)]
    assert header.split() == ["slope", "threshold", "R", "topk", "soft", "warnings"]
    rows = ran.out.splitlines()[-1 - len(trained.results) : -1]
    for row, result in zip(rows, trained.results, strict=True):
        assert row.startswith(f"{result.config.label} ") and f" {result.psnr():.2f} " in row
    assert ran.out.splitlines()[-1] == "all.h5"
    found = {result.config for result in read_results(tmp_path / "all.h5")}
    assert found == set(trained.profile.configs())


def test_runs_lists_each_run_with_state_data_and_sizes(loupe):
    Path("runs").mkdir()
    assert loupe("runs") == Ran(0, "no runs in runs\n", "")
    runs = {smoke(): True, smoke(seed=5, data="0123456789abcdef" * 4, size=128): False}
    for config, finished in runs.items():
        file = result_file(Path("runs"), config)
        file.parent.mkdir(parents=True)
        (file.parent / CONFIG).write_text(config.to_json())
        if finished:
            file.write_text("")
    assert sorted(loupe("runs").out.splitlines()) == sorted(
        [
            f"{smoke().name}  finished  heads         N=32 w=4     R=4 4S seed 0",
            f"{list(runs)[1].name}  begun     0123456789ab  N=128 w=4    R=4 4S seed 5",
        ]
    )


@pytest.mark.parametrize("mask", ["threshold", "topk"])
def test_evaluate_gives_the_metrics_of_training(mask, trained, loupe):
    ran = loupe("evaluate", trained.weights(0), "--mask", mask, "--device", "cpu")
    assert ran.status == 0
    head, *rows = ran.out.splitlines()
    assert head.startswith(f"{trained.results[0].config.label}, {mask} mask, 16 test slices")
    printed = {name.strip(): float(value) for name, value in (row.split(":") for row in rows)}
    wanted = {k: v.mean() for k, v in trained.results[0].metrics[mask].items()}
    assert printed == pytest.approx(wanted, abs=1e-3)


def test_export_mask(trained, loupe):
    for name in ("mask.npy", "mask.png"):
        options = ["--out", name, "--kind", "topk", "--order", "fft"]
        ran = loupe("export-mask", trained.weights(0), *options)
        assert (ran.status, ran.out) == (0, f"{name}: 32 x 32, topk, fft, achieved R=4.000\n")
    model, _ = read_weights(trained.weights(0))
    wanted = np.fft.ifftshift(model.mask.binarize("topk"))
    assert np.array_equal(np.load("mask.npy"), wanted)
    assert np.array_equal(image.imread("mask.png")[..., 0], wanted)


def test_data_heads_and_show(loupe, tmp_path):
    ran = loupe("data", "heads", "--out", "own.h5", "--profile", "smoke", "--seed", 3)
    assert ran.status == 0
    images = read_images(tmp_path / "own.h5")
    expected = draw_cohort(32, train=64, validation=16, test=16, seed=3)
    assert np.allclose(images.test.images, expected.test.images, atol=1e-5)
    shown = loupe("data", "show", "own.h5")
    assert shown.status == 0
    assert "32 x 32" in shown.out and shown.out.count("SHA-256") == 1
    assert f"SHA-256 {digest(tmp_path / 'own.h5')}" in shown.out
    for row in ("train: 64 slices", "validation: 16 slices", "test: 16 slices"):
        assert row in shown.out


def test_own_images_can_be_trained_and_evaluated_on(loupe, tmp_path):
    write_images(draw_cohort(48, train=16, validation=8, test=4, seed=3), tmp_path / "own.h5")
    ran = loupe("train", "--profile", "smoke", "--device", "cpu", "--data", "own.h5")
    assert ran.status == 0, ran.err
    weights = ran.out.splitlines()[-1]
    config = read_weights(Path(weights))[1]
    assert (config.size, config.data) == (48, digest(tmp_path / "own.h5"))
    assert "4 test slices" in loupe("evaluate", weights, "--data", "own.h5").out
    refused = loupe("evaluate", weights)
    assert refused.status == 2 and "needs the image file with SHA-256" in refused.err


@pytest.fixture(scope="module")
def damaged_once(trained, tmp_path_factory) -> Path:
    """Files that no command should take: fastMRI and image files, weights and results."""
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "store" / "run").mkdir(parents=True)
    shutil.copy(trained.weights(0), folder / "store" / "run")
    write_fastmri(folder / "knees", 3, 0, 0, size=32, slices=1, acquisitions=["CORPD_FBK"])
    (folder / "knees" / "text.h5").write_text("text")
    for name in ("cut", "whole"):
        shutil.copy(trained.weights(0), folder / f"{name}.safetensors")
    cut(folder / "cut.safetensors", 0.5)
    (folder / "text.h5").write_text("neither images nor results")
    for name in ("version", "cut"):
        write_results(trained.results[:1], folder / f"{name}.h5")
    cut(folder / "cut.h5", 0.5)
    with edited(folder / "version.h5") as file:
        file.attrs["version"] = 3
    write_images(draw_cohort(48, train=16, validation=4, test=4), folder / "images.h5")
    return folder


@pytest.fixture
def damaged(damaged_once, tmp_path) -> None:
    shutil.copytree(damaged_once, tmp_path / "damaged")
    (tmp_path / "empty").mkdir()


TRAIN = "train --profile smoke --device cpu"
SWEEP = "sweep --profile smoke --device cpu"
FASTMRI = "data fastmri damaged/knees --out out.h5"
NEW = "bench --smoke --out", "beyond --smoke --out", "export-mask none --out"
THERE = "cannot write damaged/text.h5: it exists; remove it, or give another name"
IMAGES = "data heads --out", "data fastmri none --out", "data import none --out"
LOST = "cannot write damaged/text.h5: it holds something else, which would be lost; give another"
FEW = (
    "train must be at least 6 and val at least 1, so that `data fastmri` finds a patient for each "
    "of three splits"
)
MISTAKES = [
    (f"{TRAIN} --acceleration 0.5", "acceleration must be .* at least 1; got 0.5"),
    ("train --profile smoke --device tpu", "device must be one of cpu.*; got 'tpu'"),
    (f"{TRAIN} --data nowhere.h5", "cannot read nowhere.h5: No such file"),
    (
        f"{TRAIN} --data damaged",
        "cannot read damaged: Is a directory; the commands .* make image files",
    ),
    (
        f"{TRAIN} --data damaged/version.h5",
        "damaged/version.h5: not a loupe-images file; the commands .* make",
    ),
    (f"{TRAIN} --runs damaged/text.h5/runs", "cannot write damaged/text.h5/runs/.*Not a directory"),
    (f"{SWEEP} --slopes 20,fast", "slopes must be numbers separated by commas; got '20,fast'"),
    (f"{SWEEP} --seeds 0-3", "seeds must be whole numbers separated by commas; got '0-3'"),
    (f"{SWEEP} --accelerations=", "accelerations must be at least one; got none"),
    (f"{SWEEP} --out damaged/cut.h5", "damaged/cut.h5.* loupe-results"),
    (f"{SWEEP} --out damaged/text.h5", "^error: damaged/text.h5: not a loupe-results file"),
    *((f"{command} damaged/text.h5", THERE) for command in NEW),
    *((f"{command} damaged/text.h5", LOST) for command in IMAGES),
    ("data synthetic new --train 4 --val 2", f"{FEW}; got 4 and 2$"),
    ("data synthetic new --train 8 --val 0", f"{FEW}; got 8 and 0$"),
    (f"{SWEEP} --out .", r"cannot write \.: it is a folder; give the path of a file"),
    ("evaluate nowhere.safetensors", "cannot read nowhere.safetensors: no such file"),
    (
        "evaluate damaged",
        "damaged is a folder; give .*, such as damaged/store/run/weights.* .found in it: 1.",
    ),
    ("evaluate empty", "empty is a folder; give a file of weights, such as the weights.safetens"),
    ("evaluate damaged/images.h5", "images.h5 is not a trained model; give the weights.safetenso"),
    ("evaluate damaged/whole.safetensors --mask soft", "one of threshold, topk; got 'soft'"),
    (
        "evaluate damaged/whole.safetensors --data damaged/images.h5",
        "the model takes images of side 32; damaged/images.h5 has 48",
    ),
    ("export-mask damaged/cut.safetensors --out m.npy", "damaged/cut.safe.* loupe-weights"),
    ("export-mask damaged/whole.safetensors --out damaged/cut.h5/m.npy", "cannot write .*m.npy"),
    ("runs --runs nowhere", "cannot read nowhere: No such file or directory"),
    ("data show damaged/text.h5", "damaged/text.h5: not a loupe-images file; the commands"),
    ("data heads --out own.h5 --profile huge", "profile must be one of .*; got 'huge'"),
    ("data heads --profile smoke --out damaged/cut.h5/own.h5", "cannot write damaged/cut.h5/own"),
    ("data fastmri nowhere --out out.h5", "cannot read nowhere: No such file or directory"),
    (f"{FASTMRI} --split 1,a,b", "split must be numbers separated by commas; got '1,a,b'"),
    (
        f"{FASTMRI} --skip-bad --acquisition AXT2",
        "acquisition must be one of CORPD_FBK here; got AXT2",
    ),
    (f"{FASTMRI} --from-list none.tsv", "cannot read none.tsv: No such file or directory"),
    ("data import damaged/text --out out.h5", "cannot read damaged/text: No such file"),
]


@pytest.mark.parametrize(("command", "reason"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_mistake_is_one_line_and_nothing_is_written(command, reason, damaged, loupe, tmp_path):
    before = files_in(tmp_path)
    ran = loupe(*command.split())
    assert ran.status == 2, ran
    assert ran.err.startswith("error: ") and ran.err.count("\n") == 1
    assert re.search(reason, ran.err)
    assert files_in(tmp_path) == before


def test_a_command_that_cannot_be_read_is_answered_with_its_usage(loupe, tmp_path):
    ran = loupe("train", "--epochs", 3)
    assert ran.status == 2
    assert ran.err.startswith("Usage: ")
    assert ran.err.splitlines()[-1].startswith("Error: No such option: --epochs")
    assert files_in(tmp_path) == {}
