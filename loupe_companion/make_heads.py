"""Make loupe_lib/data/assets/heads.h5, the slabs above the eyes of three head volumes.

Usage: python loupe_companion/make_heads.py FOLDER

FOLDER holds the three source volumes under the names below. loupe_lib/data/assets/TERMS.md says
where each is published and on which terms. Two runs write the same bytes. Needs the extra `images`.
"""

import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np

ASSET = Path(__file__).parents[1] / "loupe_lib" / "data" / "assets" / "heads.h5"
HEAD_LEVEL = 20  # grey level of 255 that separates head and background, in all three volumes
FEWEST_VOXELS = 20  # a plane with fewer voxels above that level holds no head
MARGIN = 3  # empty voxels left on each side of the head, so that a deformed head has an edge
AXES = "slices upwards, rows backwards, columns to the patient's left"

# Attributes of each dataset. `first_slice` is the first axial index kept, and `eyes_end` the one
# below which the eyes end, both in RAS order; MNI152 has no face, and starts at the same anatomy.
SOURCES: dict[str, dict[str, Any]] = {
    "colin27": {
        "title": "Colin27: T1-weighted, one man scanned 27 times and averaged (Holmes et al. 1998)",
        "taken_from": "Debian package mricron-data 1.2.20211006+dfsg-4, ch2.nii.gz",
        "licence": "McConnell Brain Imaging Centre notice, see TERMS.md",
        "source_file": "colin27_t1.nii.gz",
        "source_sha256": "a009051127f64dc3dd554d5f5b589870ea72106d9642c21b4e7093e478cfc309",
        "voxel_mm": 1.0,
        "axes": AXES,
        "first_slice": 76,
        "eyes_end": 65,
    },
    "mni152": {
        "title": "ICBM152 2009a symmetric: T1-weighted average of 152 people, skull-stripped "
        "(Fonov et al. 2009, 2011)",
        "taken_from": "Python package nilearn 0.14.1, "
        "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz",
        "licence": "McConnell Brain Imaging Centre notice, see TERMS.md",
        "source_file": "mni152_t1.nii.gz",
        "source_sha256": "421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6",
        "voxel_mm": 1.0,
        "axes": AXES,
        "first_slice": 60,
        "eyes_end": 0,
    },
    "s1": {
        "title": "S1: T1-weighted, one subject, a single scan (pycortex example)",
        "taken_from": "Python package pycortex 1.4.0, source archive, "
        "filestore/db/S1/anatomicals/raw.nii.gz",
        "licence": "BSD 2-clause, Regents of the University of California, see TERMS.md",
        "source_file": "pycortex_s1_t1.nii.gz",
        "source_sha256": "1a480d10e8c07fbca58e069efce2a11d477e180beb43f88bdad825b750055a28",
        "voxel_mm": 1.0,
        "axes": AXES,
        "first_slice": 128,
        "eyes_end": 115,
    },
}


def slab(path: Path, sha256: str, first_slice: int) -> np.ndarray:
    """Read one volume and keep the head from ``first_slice`` upwards.

    Returns:
        (slices, rows, columns) uint8 in the radiological view: slices from the eyes to the crown,
        row 0 anterior, column 0 the right of the patient. 1 mm voxels.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        sys.exit(f"{path} has the SHA-256 {found}; needed {sha256}")
    image = nibabel.as_closest_canonical(nibabel.load(path))
    volume = np.asarray(image.dataobj)[:, :, first_slice:]  # (right, anterior, superior)
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        planes = np.flatnonzero((volume > HEAD_LEVEL).sum(axis=others) >= FEWEST_VOXELS)
        first = 0 if axis == 2 else max(planes[0] - MARGIN, 0)
        volume = volume.take(range(first, min(planes[-1] + MARGIN + 1, volume.shape[axis])), axis)
    return volume[::-1, ::-1].transpose(2, 1, 0)


def main() -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["terms"] = "TERMS.md"
        for name, about in SOURCES.items():
            path = Path(sys.argv[1]) / about["source_file"]
            volume = slab(path, about["source_sha256"], about["first_slice"])
            # Every HDF5 library has gzip and shuffle. Times would make the bytes differ.
            data = file.create_dataset(
                name,
                data=volume,
                chunks=(8, *volume.shape[1:]),
                compression="gzip",
                compression_opts=9,
                shuffle=True,
                track_times=False,
            )
            data.attrs.update(about)
    ASSET.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
