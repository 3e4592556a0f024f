"""A synthetic fastMRI folder, made from the embedded heads, in the published layout.

fastMRI is only for registered users, so tests and pages cannot use its files. The synthetic files
have the same folders, names, datasets, attributes and header (Zbontar et al. 2018, arXiv
1811.08839), and k-space from the same physics: phase, coils, noise, an oversampled readout, and
columns that were never measured. They show heads instead of knees.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from loupe_companion.simulation import rss, scan
from loupe_lib.data.heads import FIELD_OF_VIEW, anatomy, load_heads
from loupe_lib.data.images import centre_crop
from loupe_lib.data.storage import writing
from loupe_lib.errors import InputError, check_whole
from loupe_lib.mask import check_size

FOLDERS = ("train", "val", "test")  # after singlecoil_ or multicoil_
OVERSAMPLING = 2  # of the readout, along the rows
SPARE_COLUMNS = 0.15  # of the knees' width: 368 for 320
MEASURED = 0.875  # of the columns; the rest, half on either side, are zeros: 322 of 368
# Volumes of one patient, in turn: knees have one to three (both acquisitions, or both knees).
VOLUMES_OF_PATIENTS = (3, 1, 2)
COILS = 4  # that a single-coil file is emulated from
SCALE = (-4.0, -3.0)  # exponent of ten of a volume's largest magnitude: that of fastMRI
TEST_ACCELERATION, TEST_CENTRE = 4, 0.08  # of the columns of the test files
# Exponent of the grey levels, and standard deviation of the real and of the imaginary part of a
# coil's noise, as a fraction of the maximum. Those of brains begin with AX.
ACQUISITIONS = {
    "CORPD_FBK": (0.8, 0.005),
    "CORPDFS_FBK": (1.4, 0.01),  # without the signal of fat: darker, noisier
    "AXT2": (1.3, 0.008),
    "AXFLAIR": (1.2, 0.01),
}


@dataclass(frozen=True)
class _Volume:
    """The settings of one file."""

    seed: int
    split: int  # index in FOLDERS
    patient: int  # of the split, from 0
    number: int  # of all volumes, from 0
    acquisition: str
    size: int
    slices: int
    coils: int | None

    @property
    def is_test(self) -> bool:
        return FOLDERS[self.split] == "test"

    @property
    def is_brain(self) -> bool:
        """Brains have other file names, and no spare columns."""
        return self.acquisition.startswith("AX")

    @property
    def file(self) -> str:
        """Its path in the folder."""
        kind = "singlecoil" if self.coils is None else "multicoil"
        knee, brain = 1000001 + self.number, 6000001 + self.number
        name = f"_brain_{self.acquisition}_200_{brain}" if self.is_brain else knee
        return f"{kind}_{FOLDERS[self.split]}/file{name}.h5"

    @property
    def recon(self) -> tuple[int, int]:
        """Rows and columns of the reconstruction; every third brain is narrower."""
        narrow = self.is_brain and self.number % 3 == 2
        return self.size, self.size * 33 // 40 if narrow else self.size

    @property
    def encoded(self) -> tuple[int, int]:
        """Rows and columns of k-space; every third knee has four columns more."""
        rows, columns = self.recon
        if not self.is_brain:
            columns += 2 * round(SPARE_COLUMNS * columns / 2) + (4 if self.number % 3 == 2 else 0)
        return OVERSAMPLING * rows, columns

    @property
    def measured(self) -> tuple[int, int]:
        """The first measured column, and the number of measured columns."""
        columns = self.encoded[1]
        count = columns if self.is_brain else 2 * round(MEASURED * columns / 2)
        return (columns - count) // 2, count


def write_fastmri(
    folder: str | os.PathLike[str],
    train: int = 8,
    val: int = 3,
    test: int = 1,
    *,
    size: int = 320,
    slices: int = 36,
    coils: int | None = None,
    acquisitions: Sequence[str] = ("CORPD_FBK", "CORPDFS_FBK"),
    seed: int = 0,
) -> list[Path]:
    """Write a synthetic fastMRI folder, which needs no registration.

    Acquisitions alternate; patients have three volumes, one, or two, in turn. Equal arguments give
    equal files, to the last byte.

    Args:
        folder: where ``singlecoil_train``, ``singlecoil_val`` and ``singlecoil_test`` (or
            ``multicoil_...``) are to be; new, or empty.
        train: number of volumes for training, fully sampled, with their reconstructions.
        val: number of volumes for validation, likewise.
        test: number of volumes for the test: undersampled, with their mask, and no
            reconstruction, as published.
        size: N, rows and columns of the reconstructions: a multiple of 16, at least 32.
        slices: of each volume.
        coils: of multi-coil files, at least 2. Without it the files are single-coil, emulated
            from several coils (Tygert and Zbontar 2018, arXiv 1811.08026).
        acquisitions: of the volumes, in turn: fastMRI's names of knees or of brains.
        seed: 0 or more.

    Returns:
        The files, in the order in which they were numbered.

    Raises:
        InputError: for a value out of range, a folder that is not empty, or one that cannot be
            written to.
    """
    check_size(size)
    for name, value in (("train", train), ("val", val), ("test", test), ("seed", seed)):
        check_whole(name, value, at_least=0)
    check_whole("slices", slices, at_least=1)
    if coils is not None:
        check_whole("coils", coils, at_least=2)
    if not train + val + test:
        raise InputError("train, val and test must be at least one volume together; got none")
    if not acquisitions or not set(acquisitions) <= set(ACQUISITIONS):
        found = ", ".join(acquisitions) or "none"
        raise InputError(f"acquisitions must be of {', '.join(ACQUISITIONS)}; got {found}")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"the folder must be new or empty; {folder} is not")

    patients = [
        (split, patient)
        for split, count in enumerate((train, val, test))
        for patient in np.repeat(range(count), np.resize(VOLUMES_OF_PATIENTS, count))[:count]
    ]
    paths = []
    for number, (split, patient) in enumerate(tqdm(patients, "volumes", disable=None)):
        acquisition = acquisitions[number % len(acquisitions)]
        volume = _Volume(seed, split, patient, number, acquisition, size, slices, coils)
        paths.append(folder / volume.file)
        _write(volume, paths[-1])
    return paths


def _write(volume: _Volume, path: Path) -> None:
    rng = np.random.default_rng((volume.seed, volume.split, volume.number))
    scale = np.float32(10 ** rng.uniform(*SCALE))
    mask = _test_mask(volume.encoded[1], rng)
    single = volume.coils is None
    kinds = ["reconstruction_esc", "reconstruction_rss"] if single else ["reconstruction_rss"]
    images = {kind: np.empty((volume.slices, *volume.recon), np.float32) for kind in kinds}
    shape = (volume.slices, *([] if single else [volume.coils]), *volume.encoded)
    gamma, noise = ACQUISITIONS[volume.acquisition]
    magnitudes = centre_crop(_head(volume), volume.recon) ** gamma
    coils = volume.coils or COILS
    scanned = scan(magnitudes, coils, volume.encoded, volume.measured, noise, rng)
    with writing(path) as beside, h5py.File(beside, "w") as file:
        file["ismrmrd_header"] = _header(volume)
        kspace = file.create_dataset("kspace", shape, np.complex64)
        for z, (each, combined) in enumerate(scanned):
            y = scale * (combined if single else each)
            kspace[z] = y * mask if volume.is_test else y
            images["reconstruction_rss"][z] = rss(scale * each, volume.recon)
            if single:
                images["reconstruction_esc"][z] = rss(y[None], volume.recon)
        file.attrs["acquisition"] = volume.acquisition
        identity = f"synthetic patient {volume.seed} {volume.split} {volume.patient}"
        file.attrs["patient_id"] = hashlib.sha256(identity.encode()).hexdigest()
        if volume.is_test:
            file["mask"] = mask
            file.attrs["acceleration"] = TEST_ACCELERATION
            file.attrs["num_low_frequency"] = round(TEST_CENTRE * len(mask))
        else:
            for kind in kinds:
                file[kind] = images[kind]
            file.attrs["max"] = float(images[kinds[0]].max())
            file.attrs["norm"] = float(np.linalg.norm(images[kinds[0]]))


def _head(volume: _Volume) -> np.ndarray:
    """(slices, N, N) in [0, 1]: a patient's volumes show one head in one pose."""
    rng = np.random.default_rng((volume.seed, volume.split, volume.patient))
    heads = list(load_heads().values())
    return anatomy(heads[rng.integers(len(heads))], volume.size, volume.slices, rng).numpy()


def _test_mask(columns: int, rng: np.random.Generator) -> np.ndarray:
    """(columns,) mask of a test file: all columns in the centre, and random others up to 1 / R."""
    centre = round(TEST_CENTRE * columns)
    fraction = (columns / TEST_ACCELERATION - centre) / (columns - centre)
    mask = rng.uniform(size=columns) < fraction
    first = (columns - centre + 1) // 2
    mask[first : first + centre] = True
    return mask


def _header(volume: _Volume) -> str:
    """The ISMRMRD header (Inati et al. 2017) of a scan like those of fastMRI."""
    template = resources.files("loupe_companion") / "assets" / "ismrmrd_header.xml"
    pixel = FIELD_OF_VIEW / volume.size  # mm
    first, count = volume.measured
    return template.read_text("utf-8").format(
        volume=volume,
        position="HFS" if volume.is_brain else "FFS",
        channels=volume.coils or COILS,
        encoded_mm=[n * pixel for n in volume.encoded],
        recon_mm=[n * pixel for n in volume.recon],
        last_column=count - 1,
        center=volume.encoded[1] // 2 - first,
        last_slice=volume.slices - 1,
    )
