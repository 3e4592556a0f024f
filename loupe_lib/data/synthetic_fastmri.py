"""A synthetic fastMRI folder, made from the embedded heads, in the published layout.

fastMRI is only for registered users, so tests and pages cannot use its files. The synthetic files
have the same folders, names, datasets, attributes and header (Zbontar et al. 2018, arXiv
1811.08839), and k-space from the same physics: phase, coils, noise, an oversampled readout, and
columns that were never measured. They show heads instead of knees.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from loupe_lib.data.heads import FIELD_OF_VIEW, anatomy, load_heads
from loupe_lib.data.images import centre_crop
from loupe_lib.data.simulation import rss, scan
from loupe_lib.data.storage import writing
from loupe_lib.errors import InputError
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


@dataclass(frozen=True)
class Contrast:
    """How an acquisition looks.

    Attributes:
        gamma: exponent of the grey levels.
        noise: standard deviation of a coil's noise, of either part, as a fraction of the maximum.
        brain: whether it shows brains, whose files have other names and no spare columns.
    """

    gamma: float
    noise: float
    brain: bool = False


ACQUISITIONS = {
    "CORPD_FBK": Contrast(0.8, 0.005),
    "CORPDFS_FBK": Contrast(1.4, 0.01),  # without the signal of fat: darker, noisier
    "AXT1": Contrast(1.0, 0.005, brain=True),
    "AXT1PRE": Contrast(1.1, 0.005, brain=True),
    "AXT1POST": Contrast(0.9, 0.005, brain=True),
    "AXT2": Contrast(1.3, 0.008, brain=True),
    "AXFLAIR": Contrast(1.2, 0.01, brain=True),
}


@dataclass(frozen=True)
class _Volume:
    """The settings and the path of one file."""

    path: Path
    split: int
    patient: int
    number: int  # of all volumes, from 0
    acquisition: str
    size: int
    slices: int
    coils: int | None
    seed: int

    @property
    def contrast(self) -> Contrast:
        return ACQUISITIONS[self.acquisition]

    @property
    def recon(self) -> tuple[int, int]:
        """Rows and columns of the reconstruction; every third brain is narrower."""
        narrow = self.contrast.brain and self.number % 3 == 2
        return self.size, self.size * 33 // 40 if narrow else self.size

    @property
    def encoded(self) -> tuple[int, int]:
        """Rows and columns of k-space; every third knee has four columns more."""
        rows, columns = self.recon
        if not self.contrast.brain:
            columns += 2 * round(SPARE_COLUMNS * columns / 2) + (4 if self.number % 3 == 2 else 0)
        return OVERSAMPLING * rows, columns

    @property
    def measured(self) -> tuple[int, int]:
        """The first measured column, and the number of measured columns."""
        columns = self.encoded[1]
        if self.contrast.brain:
            return 0, columns
        count = 2 * round(MEASURED * columns / 2)
        return (columns - count) // 2, count

    @property
    def is_test(self) -> bool:
        return FOLDERS[self.split] == "test"


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
    for name, value, least in (
        *(("train", train, 0), ("val", val, 0), ("test", test, 0), ("slices", slices, 1)),
        *(("coils", 2 if coils is None else coils, 2), ("seed", seed, 0)),
    ):
        if value < least:
            raise InputError(f"{name} must be at least {least}; got {value}")
    if not train + val + test:
        raise InputError("train, val and test must be at least one volume together; got none")
    if not acquisitions or not set(acquisitions) <= set(ACQUISITIONS):
        found = ", ".join(acquisitions) or "none"
        raise InputError(f"acquisitions must be of {', '.join(ACQUISITIONS)}; got {found}")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"the folder must be new or empty; {folder} is not")

    volumes: list[_Volume] = []
    kind = "singlecoil" if coils is None else "multicoil"
    for split, count in enumerate((train, val, test)):
        patients = _patients()
        for _ in range(count):
            number = len(volumes)
            acquisition = acquisitions[number % len(acquisitions)]
            brain = ACQUISITIONS[acquisition].brain
            name = f"brain_{acquisition}_200_{6000001 + number}" if brain else f"{1000001 + number}"
            path = folder / f"{kind}_{FOLDERS[split]}" / f"file{'_' * brain}{name}.h5"
            patient = next(patients)
            volumes.append(
                _Volume(path, split, patient, number, acquisition, size, slices, coils, seed)
            )
    for volume in tqdm(volumes, "volumes", disable=None):
        _write(volume)
    return [volume.path for volume in volumes]


def _patients() -> Iterator[int]:
    """Which patient each volume of a split is of: 0, 0, 0, 1, 2, 2, 3, ..."""
    patient = 0
    while True:
        yield from [patient] * VOLUMES_OF_PATIENTS[patient % len(VOLUMES_OF_PATIENTS)]
        patient += 1


def _write(volume: _Volume) -> None:
    rng = np.random.default_rng((volume.seed, volume.split, volume.number))
    scale = np.float32(10 ** rng.uniform(*SCALE))
    mask = _test_mask(volume.encoded[1], rng)
    single = volume.coils is None
    kinds = ["reconstruction_esc", "reconstruction_rss"] if single else ["reconstruction_rss"]
    images = {kind: np.empty((volume.slices, *volume.recon), np.float32) for kind in kinds}
    shape = (volume.slices, *([] if single else [volume.coils]), *volume.encoded)
    scanned = scan(
        _magnitudes(volume),
        volume.coils or COILS,
        volume.encoded,
        volume.measured,
        volume.contrast.noise,
        rng,
    )
    with writing(volume.path) as beside, h5py.File(beside, "w") as file:
        file["ismrmrd_header"] = _header(volume)
        kspace = file.create_dataset("kspace", shape, np.complex64)
        for z, (coils, combined) in enumerate(scanned):
            y = scale * (combined if single else coils)
            kspace[z] = y * mask if volume.is_test else y
            images["reconstruction_rss"][z] = rss(scale * coils, volume.recon)
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


def _magnitudes(volume: _Volume) -> np.ndarray:
    """(slices, rows, columns) in [0, 1]: a patient's volumes show one head in one pose."""
    rng = np.random.default_rng((volume.seed, volume.split, volume.patient))
    head = list(load_heads().values())[rng.integers(len(load_heads()))]
    x = anatomy(head, volume.size, volume.slices, rng).numpy()
    return centre_crop(x, volume.recon) ** volume.contrast.gamma


def _test_mask(columns: int, rng: np.random.Generator) -> np.ndarray:
    """(columns,) mask of a test file: all columns in the centre, and random others up to 1 / R."""
    centre = round(TEST_CENTRE * columns)
    fraction = (columns / TEST_ACCELERATION - centre) / (columns - centre)
    mask = rng.uniform(size=columns) < fraction
    first = (columns - centre + 1) // 2
    mask[first : first + centre] = True
    return mask


def _limit(name: str, maximum: int, center: int) -> str:
    inside = f"<minimum>0</minimum><maximum>{maximum}</maximum><center>{center}</center>"
    return f"<{name}>{inside}</{name}>"


def _header(volume: _Volume) -> str:
    """The ISMRMRD header (Inati et al. 2017) of a scan like those of fastMRI."""
    brain = volume.contrast.brain
    pixel = FIELD_OF_VIEW / volume.size  # mm
    encoded, recon = (
        f"<matrixSize><x>{rows}</x><y>{columns}</y><z>1</z></matrixSize><fieldOfView_mm>"
        f"<x>{rows * pixel:g}</x><y>{columns * pixel:g}</y><z>3</z></fieldOfView_mm>"
        for rows, columns in (volume.encoded, volume.recon)
    )
    first, count = volume.measured
    limits = [
        _limit("kspace_encoding_step_1", count - 1, volume.encoded[1] // 2 - first),
        _limit("kspace_encoding_step_2", 0, 0),
        _limit("average", 0, 0),
        _limit("slice", volume.slices - 1, 0),
        *(_limit(name, 0, 0) for name in ("contrast", "phase", "repetition", "set", "segment")),
    ]
    return f"""<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <measurementInformation>
    <measurementID>{volume.number}</measurementID>
    <patientPosition>{"HFS" if brain else "FFS"}</patientPosition>
    <protocolName>{volume.acquisition}</protocolName>
  </measurementInformation>
  <acquisitionSystemInformation>
    <systemVendor>synthetic</systemVendor>
    <systemModel>loupe_lib</systemModel>
    <systemFieldStrength_T>1.494</systemFieldStrength_T>
    <relativeReceiverNoiseBandwidth>0.79</relativeReceiverNoiseBandwidth>
    <receiverChannels>{volume.coils or COILS}</receiverChannels>
  </acquisitionSystemInformation>
  <experimentalConditions>
    <H1resonanceFrequency_Hz>63612000</H1resonanceFrequency_Hz>
  </experimentalConditions>
  <encoding>
    <encodedSpace>{encoded}</encodedSpace>
    <reconSpace>{recon}</reconSpace>
    <encodingLimits>
      {"".join(limits)}
    </encodingLimits>
    <trajectory>cartesian</trajectory>
    <parallelImaging>
      <accelerationFactor>
        <kspace_encoding_step_1>1</kspace_encoding_step_1>
        <kspace_encoding_step_2>1</kspace_encoding_step_2>
      </accelerationFactor>
      <calibrationMode>other</calibrationMode>
    </parallelImaging>
  </encoding>
  <sequenceParameters>
    <TR>2200</TR>
    <TE>27</TE>
    <flipAngle_deg>140</flipAngle_deg>
  </sequenceParameters>
</ismrmrdHeader>
"""
