"""Make loupe_lib/data/assets/heads.h5, the slab above the eyes of three head volumes.

Usage: python loupe_companion/make_heads.py FOLDER

FOLDER holds the three source volumes under the names below; loupe_lib/data/assets/TERMS.md says
where each is published and on which terms. Two runs write the same bytes. Needs the extra `images`.
"""

import argparse
import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import nibabel
import numpy as np

ASSET = Path(__file__).parents[1] / "loupe_lib" / "data" / "assets" / "heads.h5"
HEAD_LEVEL = 20  # grey level of 255 that tells head from background, in all three volumes
FEWEST_VOXELS = 20  # a plane with fewer voxels above that level holds no head
MARGIN = 3  # empty voxels left on each side of the head, so that a deformed head has an edge


@dataclass(frozen=True)
class Source:
    """One published volume, and where its face ends."""

    name: str
    file: str
    sha256: str
    title: str
    taken_from: str
    licence: str
    eyes_end: int  # axial index in RAS order below which the eyes end; 0: it has no face
    first_slice: int  # first axial index kept


SOURCES = (
    Source(
        name="colin27",
        file="colin27_t1.nii.gz",
        sha256="a009051127f64dc3dd554d5f5b589870ea72106d9642c21b4e7093e478cfc309",
        title="Colin27: T1-weighted, one man scanned 27 times and averaged (Holmes et al. 1998)",
        taken_from="Debian package mricron-data 1.2.20211006+dfsg-4, ch2.nii.gz",
        licence="McConnell Brain Imaging Centre notice, see TERMS.md",
        eyes_end=65,
        first_slice=76,
    ),
    Source(
        name="mni152",
        file="mni152_t1.nii.gz",
        sha256="421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6",
        title="ICBM152 2009a symmetric: T1-weighted average of 152 people, skull-stripped "
        "(Fonov et al. 2009, 2011)",
        taken_from="Python package nilearn 0.14.1, "
        "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz",
        licence="McConnell Brain Imaging Centre notice, see TERMS.md",
        eyes_end=0,
        first_slice=60,  # about the anatomy at which the other two slabs begin
    ),
    Source(
        name="s1",
        file="pycortex_s1_t1.nii.gz",
        sha256="1a480d10e8c07fbca58e069efce2a11d477e180beb43f88bdad825b750055a28",
        title="S1: T1-weighted, one subject, a single scan (pycortex example)",
        taken_from="Python package pycortex 1.4.0, source archive, "
        "filestore/db/S1/anatomicals/raw.nii.gz",
        licence="BSD 2-clause, Regents of the University of California, see TERMS.md",
        eyes_end=115,
        first_slice=128,
    ),
)


def slab(source: Source, folder: Path) -> np.ndarray:
    """Read one volume and keep the head above its eyes.

    Returns:
        (slices, rows, columns) uint8, seen as radiologists do: slices from the eyes to the
        crown, row 0 anterior, column 0 the right of the patient. 1 mm voxels.
    """
    path = folder / source.file
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != source.sha256:
        raise SystemExit(f"{path} has the SHA-256 {found}; needed {source.sha256}")
    image = nibabel.as_closest_canonical(nibabel.load(path))
    if not np.allclose(image.header.get_zooms(), 1.0):
        raise SystemExit(f"{path} has voxels of {image.header.get_zooms()} mm; needed 1 mm")
    volume = np.asarray(image.dataobj)[:, :, source.first_slice :]  # (right, anterior, superior)
    is_head = volume > HEAD_LEVEL
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        planes = np.flatnonzero(is_head.sum(axis=others) >= FEWEST_VOXELS)
        first = 0 if axis == 2 else max(planes[0] - MARGIN, 0)
        volume = volume.take(range(first, min(planes[-1] + MARGIN + 1, volume.shape[axis])), axis)
        is_head = volume > HEAD_LEVEL
    return volume[::-1, ::-1].transpose(2, 1, 0)


def main() -> None:
    """Write the asset from the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Make loupe_lib/data/assets/heads.h5.")
    parser.add_argument("folder", type=Path, help="folder of the three NIfTI volumes")
    folder = parser.parse_args().folder
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["terms"] = "TERMS.md"
        for source in SOURCES:
            volume = slab(source, folder)
            # gzip and shuffle come with every HDF5, so that plain h5py reads the file. No times
            # are stored: they would make every run write other bytes.
            data = file.create_dataset(
                source.name,
                data=volume,
                chunks=(8, *volume.shape[1:]),
                compression="gzip",
                compression_opts=9,
                shuffle=True,
                track_times=False,
            )
            data.attrs.update(
                title=source.title,
                taken_from=source.taken_from,
                licence=source.licence,
                source_file=source.file,
                source_sha256=source.sha256,
                voxel_mm=1.0,
                axes="slices upwards, rows backwards, columns to the patient's left",
                first_slice=source.first_slice,
                eyes_end=source.eyes_end,
            )
            print(source.name, volume.shape)
    written = ASSET.with_suffix(".partial")
    written.write_bytes(buffer.getvalue())
    os.replace(written, ASSET)
    print(f"{ASSET}: {ASSET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
