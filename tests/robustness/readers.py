"""Every reader, to be tried on files that nobody should trust, with bounds on memory and time."""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import IO

import torch

from loupe_companion.beyond.experiment import read_record
from loupe_companion.results import read_results
from loupe_lib import InputError
from loupe_lib.data import hdf5_check
from loupe_lib.data.choice import read_list
from loupe_lib.data.fastmri_folder import FastMRIFolder
from loupe_lib.data.formats.arrays import open_hdf5_stack, open_npy
from loupe_lib.data.formats.dicom import open_series
from loupe_lib.data.formats.nifti import open_nifti
from loupe_lib.data.formats.stacks import Stack
from loupe_lib.data.hdf5_look import look_at
from loupe_lib.data.images import read_images
from loupe_lib.training.checkpoint import read_weights
from loupe_lib.training.config import RunConfig

MEMORY = 6 << 30  # of addresses, most of which torch takes and never uses
SECONDS = 90  # for one file
LOOKING = 10  # seconds that a look at an HDF5 file may take


def slices(stack: Stack) -> None:
    for _ in stack.read():
        pass


def fastmri(path: Path) -> None:
    """As `data fastmri` reads a file or an archive: what it leaves out is refused."""
    folder = FastMRIFolder(path, 32)
    volumes, left_out = folder.scan(path.with_suffix(".cache"), progress=False)
    for group in folder.groups(volumes):
        for opened in folder.read(group):
            if opened is not None:
                for _ in opened.slices:
                    pass
    for one in left_out:
        raise InputError(f"{path}: {one.reason}")


def configuration(path: Path) -> None:
    config = RunConfig.from_json(path.read_text("latin-1"))
    assert RunConfig.from_json(config.to_json()) == config


def look_in_fork(file: IO[bytes], offset: int, size: int) -> tuple[int, str]:
    """As `hdf5_check.look`, which starts a new process: that takes ten times as long."""
    child = os.fork()
    if not child:
        signal.alarm(LOOKING)
        status = 0
        try:
            look_at(file.fileno(), offset, size)
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), ""


READERS: dict[str, Callable[[Path], object]] = {
    "results.h5": read_results,
    "images.h5": read_images,
    "fastmri.h5": fastmri,
    "stack.h5": lambda path: slices(open_hdf5_stack(path, "images")),
    "stack.npy": lambda path: slices(open_npy(path)),
    "head.nii": lambda path: slices(open_nifti(path)),
    "head.nii.gz": lambda path: slices(open_nifti(path)),
    "series.dcm": lambda path: slices(open_series(path)),
    "weights.safetensors": read_weights,
    "config.json": configuration,
    "beyond.json": read_record,
    "list.tsv": read_list,
    "fastmri.tar": fastmri,
    "fastmri.tar.xz": fastmri,
}


def bound_this_process() -> None:
    """End it, by an exception or a signal, where a reader takes too much."""
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    hdf5_check.look = look_in_fork


def try_to_read(kind: str, path: Path) -> str:
    """Whether a file is ``read`` or, by an InputError of one line, ``refused``."""
    signal.alarm(SECONDS)
    try:
        READERS[kind](path)
        return "read"
    except InputError as error:
        message = str(error)
        assert message.strip() and "\n" not in message, message
        return "refused"
    finally:
        signal.alarm(0)
