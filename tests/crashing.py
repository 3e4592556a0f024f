"""A file on which the HDF5 library crashes the process."""

import subprocess
import sys
from pathlib import Path

import pytest

from loupe_companion.synthetic_fastmri import write_fastmri

PLACE, BIT = 1729, 1  # in a file of two slices of 32 x 32; found by flipping many
READ = "import sys, h5py; file = h5py.File(sys.argv[1]); dict(file.attrs); file['kspace'][0]"


def crashing_file(folder: Path) -> Path:
    """A synthetic fastMRI file with one bit flipped, on which HDF5 2.0 dies."""
    (path,) = write_fastmri(folder / "crashing", 1, 0, 0, size=32, slices=2)
    content = bytearray(path.read_bytes())
    content[PLACE] ^= 1 << BIT
    path.write_bytes(content)
    if subprocess.run([sys.executable, "-c", READ, path], capture_output=True).returncode >= 0:
        pytest.skip("this version of HDF5 does not crash on the file")
    return path
