"""Every reader, to be tried on files that nobody should trust, with bounds on memory and time."""

import resource
import signal
from collections.abc import Callable
from pathlib import Path

import torch

from loupe_companion.beyond.experiment import read_record
from loupe_companion.results import read_results
from loupe_lib import InputError
from loupe_lib.data.choice import read_list
from loupe_lib.data.fastmri import read_slices
from loupe_lib.data.formats.arrays import open_hdf5_stack, open_npy
from loupe_lib.data.formats.dicom import open_series
from loupe_lib.data.formats.nifti import open_nifti
from loupe_lib.data.formats.stacks import Stack
from loupe_lib.data.images import read_images
from loupe_lib.training.config import RunConfig
from loupe_lib.training.run import read_weights

MEMORY = 6 << 30  # of addresses, most of which torch takes and never uses
SECONDS = 90  # for one file


def slices(stack: Stack) -> None:
    for _ in stack.read():
        pass


def fastmri(path: Path) -> None:
    for _ in read_slices(path):
        pass


def configuration(path: Path) -> None:
    config = RunConfig.from_json(path.read_text("latin-1"))
    assert RunConfig.from_json(config.to_json()) == config


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
}


def bound_this_process() -> None:
    """End it, by an exception or a signal, where a reader takes too much."""
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


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
