"""Convert foreign files to an image file: the commands ``data fastmri`` and ``data import``."""

import functools
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loupe_lib.data.choice import (
    check_split,
    choose,
    find_listed,
    is_list,
    list_text,
    read_list,
)
from loupe_lib.data.conversion import Target, convert
from loupe_lib.data.formats.any_file import open_file
from loupe_lib.data.formats.fastmri import read_folder
from loupe_lib.data.images import is_image_file
from loupe_lib.data.storage import check_target, write_file
from loupe_lib.data.subjects import assign_subjects
from loupe_lib.data.volumes import Volume
from loupe_lib.data.workers import BadFile, read_headers
from loupe_lib.errors import InputError
from loupe_lib.mask import check_size

# The paper's: proton density without fat suppression, 2269 slices of 320 x 320.
PAPER_ACQUISITION = "CORPD_FBK"
PAPER_SPLIT = (1895, 188, 186)
PAPER_SIZE = 320
FRACTIONS = (0.8, 0.1, 0.1)
SHOWN = 3  # folders named in a message
BIDS = re.compile(r"sub-[a-zA-Z0-9]+(?=_)")  # of the Brain Imaging Data Structure


@dataclass(frozen=True)
class Selection:
    """Which volumes to take, and into which split.

    Raises:
        InputError: at construction, if an attribute cannot be used.
    """

    split: tuple[float, ...]  # slices, or fractions of all, of train, validation and test
    seed: int = 0  # of the choice, see `choose`
    from_list: Path | None = None  # a list of volumes, instead of a choice by split and seed
    list_to: Path | None = None  # file for the list of the chosen volumes
    subject: str | None = None  # a rule for who a volume is of, see `assign_subjects`

    def __post_init__(self) -> None:
        # Before any header is read, which may take long.
        check_split(self.split)
        if self.from_list:
            read_list(self.from_list)
        if self.list_to:
            check_target(self.list_to, is_list)
        if self.subject:
            assign_subjects([], self.subject)


@dataclass(frozen=True)
class Report:
    """The outcome of a conversion."""

    target: Target
    selection: Selection
    found: Sequence[Volume]  # all that could have been used
    candidates: Sequence[Volume]  # those of the acquisitions, or of the list, among them
    converted: Sequence[Volume]  # those that were used, in the order of the file
    left_out: Mapping[str, str]  # why other volumes and files were not used, by their names

    def of(self, split: str) -> list[Volume]:
        """The volumes of a split."""
        return [volume for volume in self.converted if volume.split == split]


def import_fastmri(
    root: Path,
    out: Path,
    selection: Selection = Selection(PAPER_SPLIT),
    acquisitions: Sequence[str] = (PAPER_ACQUISITION,),
    size: int = PAPER_SIZE,
    is_complex: bool = False,
    skip_bad: bool = False,
) -> Report:
    """Write volumes of a fastMRI folder to an image file.

    Worker processes read the files: a script must call this below ``if __name__ == "__main__":``.

    Args:
        root: the folder, with its sub-folders.
        out: the image file; it appears when it is complete.
        selection: which volumes.
        acquisitions: which to choose from; ignored with a list.
        size: side of the images: a multiple of 16, at least 32.
        is_complex: whether to keep the measured, complex images of single-coil data.
        skip_bad: whether to go on without files that are damaged, or that end the process that
            reads them.

    Raises:
        InputError: if a file cannot be read or is not the one listed, there are too few volumes, or
            the image file cannot be written.
    """
    _check_targets(out, selection)
    target = Target(out, "fastMRI", check_size(size), is_complex)
    try:
        # A list says which files are needed: another one may be damaged.
        skip = skip_bad or selection.from_list is not None
        found, left_out = read_folder(root, is_complex, skip)
        candidates = [v for v in found if v.kind in acquisitions or selection.from_list]
        there = sorted({v.kind for v in found})
        unknown = ", ".join(name for name in acquisitions if name not in there)
        if found and unknown and not selection.from_list:
            raise InputError(f"acquisition must be one of {', '.join(there)} here; got {unknown}")
        return _import(target, found, candidates, left_out, selection, skip_bad)
    except BadFile as error:
        raise InputError(f"{error}; --skip-bad goes on without such files") from error


def import_files(
    paths: Sequence[Path],
    out: Path,
    selection: Selection = Selection(FRACTIONS),
    axis: str | None = None,
    dataset: str | None = None,
    size: int | None = None,
    series: str | None = None,
    echo: int | None = None,
    clip_negative: bool = False,
) -> Report:
    """Write NIfTI, DICOM, ``.npy`` and HDF5 volumes to an image file.

    Worker processes read the files: a script must call this below ``if __name__ == "__main__":``.

    Args:
        paths: files, each one volume; a folder is one DICOM series. The patient is named by the
            DICOM file, or by ``sub-...`` in the name of the file (BIDS), or else is the file.
        out: the image file; it appears when it is complete.
        selection: which volumes.
        axis: along which the slices lie: axial, coronal or sagittal for NIfTI (axial by default)
            and DICOM (as acquired by default); 0, 1 or 2 for arrays (0 by default).
        dataset: name of the stack in HDF5 files.
        size: side of the images: a multiple of 16, at least 32; by default the smallest that
            holds every slice.
        series: number, description or UID of the DICOM series, for folders that hold several.
        echo: which echo, for DICOM series that have several at each position: 1 is the first.
        clip_negative: whether pixels below 0 become 0; else they are refused.

    Raises:
        InputError: if a file cannot be read, is not one volume, has pixels below 0, or is not the
            one listed; or the image file cannot be written.
    """
    _check_targets(out, selection)
    side = None if size is None else check_size(size)
    full = [Path(os.path.abspath(path)) for path in paths]
    if len(set(full)) < len(full):
        raise InputError(f"{max(full, key=full.count)} is given twice")
    folder = os.path.commonpath([path.parent for path in full] or [Path()])
    open_one = functools.partial(open_file, axis=axis, dataset=dataset, series=series, echo=echo)
    headers = read_headers(open_one, paths)
    volumes = []
    for path, whole in zip(paths, full, strict=True):
        volume = headers[path]
        if isinstance(volume, InputError):
            raise volume
        name = whole.relative_to(folder).as_posix()
        bids = BIDS.match(path.name)
        patient = volume.patient or (bids[0] if bids else name)
        volumes.append(replace(volume, name=name, patient=patient))
    _check_series(volumes)
    kinds = {volume.kind.split()[0] for volume in volumes}
    if dataset is not None and "HDF5" not in kinds:
        raise InputError("--dataset is for HDF5 files, and none is given")
    if (series is not None or echo is not None) and "DICOM" not in kinds:
        raise InputError("--series and --echo are for DICOM files, and none is given")
    side = side or max([32, *(-(-max(v.shape) // 16) * 16 for v in volumes)])
    target = Target(out, "images", side, clip_negative=clip_negative)
    return _import(target, volumes, volumes, {}, selection, False)


def _check_series(volumes: Sequence[Volume]) -> None:
    """Raise InputError if several of the files are slices of one DICOM series."""
    counts = Counter(volume.series for volume in volumes if volume.series)
    slices = [volume for volume in volumes if counts[volume.series] > 1]
    if slices:
        folders = sorted({str(volume.path.parent) for volume in slices})
        more = f" and {len(folders) - SHOWN} more" * (len(folders) > SHOWN)
        raise InputError(
            f"{slices[0].path} and other files are slices of one DICOM series: instead of the "
            f"files, give the folder of each series: {', '.join(folders[:SHOWN])}{more}"
        )


def _check_targets(out: Path, selection: Selection) -> None:
    """Raise InputError if the image file cannot be written, or is the file for the list too."""
    check_target(out, is_image_file)
    if selection.list_to and selection.list_to.absolute() == out.absolute():
        raise InputError(f"--out and --list must be two files; got {out} for both")


def _import(
    target: Target,
    found: Sequence[Volume],
    candidates: Sequence[Volume],
    left_out: Mapping[str, str],
    selection: Selection,
    skip_bad: bool,
) -> Report:
    if not candidates:
        why = ""
        for reason, count in Counter(left_out.values()).most_common(1):
            name = next(name for name, other in left_out.items() if other == reason)
            why = f"; {name}: {reason} (this is the reason for {count} of {len(left_out)} files)"
        raise InputError(f"there is no volume that can be used{why}")
    if selection.from_list:
        candidates = find_listed(candidates, selection.from_list)
    if selection.subject:
        candidates = assign_subjects(candidates, selection.subject)
    chosen = candidates
    if not selection.from_list:
        chosen = choose(candidates, selection.split, selection.seed)
    converted, lost = convert(target, chosen, skip_bad)
    if selection.list_to:
        write_file(selection.list_to, list_text(converted).encode())
    reasons = {v.name: f"acquisition {v.kind}" for v in found}
    if selection.from_list:
        reasons = dict.fromkeys(reasons, "not listed")
    reasons |= {v.name: "not needed" for v in candidates}
    for volume in chosen:
        del reasons[volume.name]
    return Report(target, selection, found, candidates, converted, {**left_out, **lost, **reasons})
