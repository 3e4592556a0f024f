"""Helpers of several test files: the smallest runs, devices, and damaged files."""

import contextlib
import dataclasses
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from filelock import FileLock
from matplotlib.figure import Figure
from scipy.special import expit
from torch import nn

from loupe_companion.locks import try_lock
from loupe_companion.profiles import find_profile
from loupe_companion.results import RunResult
from loupe_companion.simulation import scan
from loupe_lib import InputError
from loupe_lib.data.formats.fastmri import ifft2c
from loupe_lib.data.images import SPLITS, Images
from loupe_lib.data.storage import CHECKSUM_SIZE
from loupe_lib.training.config import RunConfig

ROOT = Path(__file__).parent.parent

# The tensors of these tests are so small that threads cost more than they save.
torch.set_num_threads(1)

on_each_device = pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.cuda,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
            ],
        ),
    ],
)


def refusal(function: Callable[..., object], *args: object, **kwargs: object) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


class Binary(nn.Module):
    """Any module with a buffer named slope."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.register_buffer("slope", torch.tensor(float(slope)))


def smoke(**changes: object) -> RunConfig:
    """The 4S run of the smoke profile, from s = 200, with some settings changed."""
    of = find_profile("smoke", slopes=[], initial_slope=200)
    return dataclasses.replace(of.configs()[0], **changes)


def fixed(slope: float = 200.0, **changes: object) -> RunConfig:
    """Its baseline: the same number of epochs at one slope."""
    both = smoke().shrink_epochs + smoke().settle_epochs
    return smoke(**{"slope": slope, "shrink_epochs": 0, "settle_epochs": both, **changes})


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    """Uniform numbers in [0, 1], float32."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def random_complex(*shape: int, seed: int = 0) -> torch.Tensor:
    """Complex numbers of magnitude at most 1, complex64: uniform magnitudes and phases."""
    return torch.polar(random(*shape, seed=seed), 6.283 * random(*shape, seed=seed + 100))


# NumPy's transforms and SciPy's sigmoid, against which torch's are checked.
dft2 = partial(np.fft.fft2, norm="ortho")
idft2 = partial(np.fft.ifft2, norm="ortho")
uncentre = partial(np.fft.ifftshift, axes=(-2, -1))
sigmoid = expit


@contextlib.contextmanager
def shared_folder(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """A folder for all workers of a session; one worker at a time is given it."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    with FileLock(base / f"{name}.lock"):
        (base / name).mkdir(exist_ok=True)
        yield base / name


def workflow(folder: Path, *targets: str, on: str = "local", **config: object) -> list[str]:
    """The command that runs the workflow of the smoke profile in a folder."""
    place = ROOT / "workflow"
    command = [sys.executable, "-m", "snakemake", "--snakefile", place / "Snakefile"]
    command += ["--profile", place / "profiles" / on, "--directory", folder, *targets]
    values = {"profile": "smoke"} | config
    return [*map(str, command), "--config", *(f"{name}={value}" for name, value in values.items())]


def run_workflow(
    folder: Path, *targets: str, **config: object
) -> "subprocess.CompletedProcess[str]":
    """Run the workflow of the smoke profile in a folder."""
    command = workflow(folder, *targets, **config)
    return subprocess.run(command, capture_output=True, text=True)


def small_stage(folder: Path, name: str, text: str) -> Path:
    """A book of one page."""
    stage = folder / "stage"
    (stage / name).parent.mkdir(parents=True)
    shutil.copytree(ROOT / "book/_static", stage / "book/_static")
    shutil.copy(ROOT / "book/references.bib", stage / "book")
    toc = f"format: jb-book\nroot: {Path(name).with_suffix('')}\n"
    (stage / "book/_toc.yml").write_text(toc)
    (stage / name).write_text(text)
    return stage


def alive(number: int) -> bool:
    """Whether a process runs: a zombie, which its parent may not have collected, does not."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True)
    return bool(listed.stdout.strip()) and not listed.stdout.startswith(b"Z")


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def free_locks(folder: Path) -> None:
    """Take and free each lock: a kill after the last result leaves one, which nobody may hold."""
    for lock in [*folder.rglob("training.lock"), *folder.rglob("*.writing.lock")]:
        with contextlib.ExitStack() as locks:
            assert try_lock(locks, lock), lock


def files_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file under a folder: when it was written, and what is in it."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def cut(path: Path, fraction: float) -> None:
    """Lose the end of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])


def flip(path: Path, place: int) -> None:
    """Flip one bit of the byte at that place of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << place % 8
    path.write_bytes(content)


def draw(figure: Figure | None) -> Figure:
    """Matplotlib warns of what does not fit or is missing; warnings are errors."""
    assert figure is not None
    figure.savefig(io.BytesIO(), dpi=40)
    return figure


def with_psnr(result: RunResult, value: float, **changes: object) -> RunResult:
    psnr = np.full(16, value)
    metrics = {mask: found | {"psnr": psnr} for mask, found in result.metrics.items()}
    return dataclasses.replace(result, metrics=metrics, **changes)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Whether two states are equal bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


@contextlib.contextmanager
def edited(path: Path) -> Iterator[h5py.File]:
    """Change an HDF5 file as somebody would who knows the format: its checksum is gone."""
    with h5py.File(path, "r+") as file:
        yield file
    with open(path, "r+b") as raw:
        raw.write(b"edited".ljust(CHECKSUM_SIZE, b"\0"))


def measured(images: Images) -> Images:
    """The same images as a scanner would measure them: with a smooth phase, different in each."""
    rng = np.random.default_rng(0)
    splits = {}
    for name in SPLITS:
        split = getattr(images, name)
        size = images.size
        shape = (len(split.images), size, size)
        seen = scan(split.images.numpy(), 4, shape[1:], (0, size), noise=0.0, rng=rng)
        x = ifft2c(np.stack([combined for _, combined in seen]))
        splits[name] = dataclasses.replace(split, images=torch.from_numpy(x / np.abs(x).max()))
    return Images(**splits, source="measured heads")
