"""Which volumes are used, and in which split: chosen by a seed, or taken from a list."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from loupe_lib.data.images import SPLITS
from loupe_lib.data.storage import check_target
from loupe_lib.data.volumes import Volume
from loupe_lib.errors import InputError

ROUNDING = 1e-9  # of the sum of three fractions
LIST_HEADER = "split\tvolume\tslices\tsha256"

Choice = dict[str, list[Volume]]  # split -> its volumes, sorted by name


def choose(volumes: Sequence[Volume], split: Sequence[float], seed: int = 0) -> Choice:
    """Choose whole patients for each split, by a seeded shuffle and a cumulative fill.

    Patients are sorted by the SHA-256 of ``"SEED PATIENT"``: this order is the same on every
    machine, and files that are added later do not change it. Test, validation and train, in this
    order, go through the remaining patients, and take a patient if more than half of the patient's
    slices are still wanted. So a split misses its number by part of a patient. If there are fewer
    slices than wanted, the three numbers are scaled in proportion. If all slices are wanted, train
    takes all the rest.

    Args:
        volumes: to choose from.
        split: for train, validation and test the number of slices wanted, or the fraction of all
            slices; see :func:`check_split`.
        seed: of the order.

    Returns:
        The volumes of each split, each split with one patient at least.

    Raises:
        InputError: for another split, or if there are fewer patients than splits.
    """
    check_split(split)
    patients: dict[str, list[Volume]] = {}
    for volume in sorted(volumes, key=lambda v: v.name):
        patients.setdefault(volume.patient, []).append(volume)
    if len(patients) < len(SPLITS):
        raise InputError(
            "train, validation and test need at least three patients; these files are of "
            f"{len(patients)} ({', '.join(patients)}). Give files of more people, or say who is "
            "who by --subject"
        )
    size = {patient: sum(v.slices for v in theirs) for patient, theirs in patients.items()}
    total = sum(size.values())
    wanted = dict(zip(SPLITS, wanted_slices(total, split), strict=True))
    if sum(wanted.values()) > total - 0.5:
        wanted["train"] = math.inf
    rest = sorted(patients, key=lambda p: hashlib.sha256(f"{seed} {p}".encode()).digest())
    choice: Choice = {}
    for later, name in ((2, "test"), (1, "validation"), (0, "train")):
        taken: list[str] = []
        for patient in rest:
            fits = sum(size[p] for p in taken) + size[patient] / 2 < wanted[name]
            if fits and len(rest) - len(taken) > later:  # one patient for each split to come
                taken.append(patient)
        taken = taken or [min(rest, key=lambda p: size[p])]
        rest = [p for p in rest if p not in taken]
        choice[name] = sorted((v for p in taken for v in patients[p]), key=lambda v: v.name)
    return {name: choice[name] for name in SPLITS}


def check_split(split: Sequence[float]) -> None:
    """Raise InputError unless ``split`` is three fractions, or three whole numbers of slices.

    All must be above 0. Fractions are below 1, and add up to 1 or less.
    """
    are_slices = all(n % 1 == 0 for n in split)  # false for NaN and infinity
    are_fractions = _are_fractions(split) and sum(split) <= 1 + ROUNDING
    if len(split) != len(SPLITS) or min(split) <= 0 or not (are_slices or are_fractions):
        raise InputError(
            f"split must be three numbers above 0 ({', '.join(SPLITS)}): fractions that add up to "
            f"1 or less, or whole numbers of slices; got {','.join(f'{n:g}' for n in split)}"
        )


def wanted_slices(total: int, split: Sequence[float]) -> list[float]:
    """Slices of each split: as asked for, a fraction, or in proportion if there are too few."""
    if _are_fractions(split):
        return [total * fraction for fraction in split]
    return [n * min(1, total / sum(split)) for n in split]


def _are_fractions(split: Sequence[float]) -> bool:
    return all(n < 1 for n in split)


class Listed(NamedTuple):
    """A line of a list of volumes."""

    split: str
    name: str
    slices: int
    sha256: str


def list_text(listed: Sequence[Listed]) -> str:
    """A list of volumes: tab-separated, one line a volume, after one of column names."""
    return "\n".join([LIST_HEADER, *("\t".join(map(str, one)) for one in listed), ""])


def check_list_target(path: Path) -> None:
    """Raise InputError if a list cannot be written there, or would replace another file."""
    check_target(path)
    if path.exists() and not path.read_bytes().startswith(LIST_HEADER.encode()):
        raise InputError(
            f"cannot write {path}: it holds something else, which would be lost; give another name"
        )


def read_list(path: Path) -> list[Listed]:
    """Read a list of volumes.

    Raises:
        InputError: if the file is not such a list, or lists no volume for a split; the message
            names the file and the line.
    """
    try:
        header, *lines = path.read_text("utf-8").split("\n")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a list of volumes: {error}") from error
    if header != LIST_HEADER:
        columns = f"{', '.join(LIST_HEADER.split())}, with tabs between"
        raise InputError(f"{path} is not a list of volumes: its first line must be: {columns}")
    listed: dict[str, Listed] = {}
    for number, line in enumerate(lines, 2):
        match line.split("\t"):
            case [""]:
                pass
            case [split, name, slices, sha256] if (
                split in SPLITS and name not in listed and slices.isdecimal()
            ):
                listed[name] = Listed(split, name, int(slices), sha256)
            case _:
                raise InputError(
                    f"{path}, line {number}: must be a split ({', '.join(SPLITS)}), the name of a "
                    "volume that is not listed twice, its slices and its SHA-256, with tabs between"
                )
    for split in SPLITS:
        if split not in {one.split for one in listed.values()}:
            raise InputError(f"{path} lists no volume for {split}")
    return list(listed.values())


def find_listed(volumes: Sequence[Volume], listed: Sequence[Listed], path: Path) -> Choice:
    """The listed volumes; InputError with the path of the list if one is missing."""
    known = {volume.name: volume for volume in volumes}
    missing = [one.name for one in listed if one.name not in known]
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise InputError(f"{path} lists {missing[0]}{more}, which cannot be found or read here")
    return {
        split: [known[name] for name in sorted(one.name for one in listed if one.split == split)]
        for split in SPLITS
    }
