"""Which volumes are used, and in which split: chosen by a seed, or taken from a list."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loupe_lib.data.images import SPLITS
from loupe_lib.data.volumes import Volume
from loupe_lib.errors import InputError

ROUNDING = 1e-9  # of the sum of three fractions
COLUMNS = ["split", "volume", "slices", "sha256"]  # of a list, with tabs between


def choose(volumes: Sequence[Volume], split: Sequence[float], seed: int = 0) -> list[Volume]:
    """Choose whole patients for each split, by a seeded shuffle and a cumulative fill.

    Patients are sorted by the SHA-256 of ``"SEED PATIENT"``: this order is the same on every
    machine, and files that are added later do not change it. Test, validation and train, in this
    order, go through the remaining patients, and take a patient if more than half of the patient's
    slices are still wanted. So a split misses its number by part of a patient. If there are fewer
    slices than wanted, the three numbers are scaled in proportion. If all slices are wanted, train
    takes all the rest.

    Returns:
        The chosen volumes, sorted by split and name; each split has one patient at least.

    Raises:
        InputError: for a split that `check_split` refuses, or fewer patients than splits.
    """
    check_split(split)
    size: dict[str, int] = {}  # of each patient, in slices
    for volume in volumes:
        size[volume.patient] = size.get(volume.patient, 0) + volume.slices
    if len(size) < len(SPLITS):
        raise InputError(
            "train, validation and test need at least three patients; these files are of "
            f"{len(size)} ({', '.join(size)}). Give files of more people, or say who is who by "
            "--subject"
        )
    total = sum(size.values())
    wanted = wanted_slices(total, split)
    if sum(wanted) > total - 0.5:
        wanted[0] = math.inf
    rest = sorted(size, key=lambda p: hashlib.sha256(f"{seed} {p}".encode()).digest())
    home: dict[str, str] = {}
    for later in (2, 1, 0):  # test, validation, train
        taken: list[str] = []
        for patient in rest:
            fits = sum(size[p] for p in taken) + size[patient] / 2 < wanted[later]
            if fits and len(rest) - len(taken) > later:  # one patient for each split to come
                taken.append(patient)
        taken = taken or [min(rest, key=lambda p: size[p])]
        rest = [p for p in rest if p not in taken]
        home |= dict.fromkeys(taken, SPLITS[later])
    return _sorted([replace(v, split=home[v.patient]) for v in volumes if v.patient in home])


def _sorted(volumes: Sequence[Volume]) -> list[Volume]:
    return sorted(volumes, key=lambda v: (SPLITS.index(v.split), v.name))


def check_split(split: Sequence[float]) -> None:
    """Raise InputError unless ``split`` is three fractions, or three whole numbers of slices.

    All must be above 0. Fractions are below 1, and add up to 1 or less.
    """
    are_slices = all(n % 1 == 0 for n in split)  # false for NaN and infinity
    are_fractions = all(n < 1 for n in split) and sum(split) <= 1 + ROUNDING
    if len(split) != len(SPLITS) or min(split) <= 0 or not (are_slices or are_fractions):
        got = ",".join(f"{n:g}" for n in split) or "none"
        raise InputError(
            f"split must be three numbers above 0 ({', '.join(SPLITS)}): fractions that add up to "
            f"1 or less, or whole numbers of slices; got {got}"
        )


def wanted_slices(total: int, split: Sequence[float]) -> list[float]:
    """Slices of each split: as asked for, a fraction, or in proportion if there are too few."""
    if max(split) < 1:
        return [total * fraction for fraction in split]
    return [n * min(1, total / sum(split)) for n in split]


def list_text(volumes: Sequence[Volume]) -> str:
    """A list of volumes: a line of column names, and one for each volume."""
    rows = [COLUMNS, *([v.split, v.name, str(v.slices), v.sha256] for v in volumes)]
    return "".join("\t".join(row) + "\n" for row in rows)


def is_list(path: Path) -> bool:
    """Whether a file begins as a list of volumes: it may be replaced by another."""
    return path.read_bytes().startswith("\t".join(COLUMNS).encode())


def read_list(path: Path) -> dict[str, tuple[str, str]]:
    """Read a list: the split and the SHA-256 of each volume, by its name.

    Raises:
        InputError: if the file is not such a list, or lists no volume for a split.
    """
    try:
        header, *rows = (line.split("\t") for line in path.read_text("utf-8").split("\n") if line)
        listed = {name: (split, sha256) for split, name, _, sha256 in rows}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError:  # no text, no header, or another number of columns
        header, rows, listed = [], [], {}
    splits = {split for split, _ in listed.values()}
    if header != COLUMNS or len(listed) < len(rows) or splits != set(SPLITS):
        raise InputError(
            f"{path} is not a list of volumes: its first line must be {', '.join(COLUMNS)}, with "
            "tabs between; then comes one line for each volume, and at least one for each of "
            f"{', '.join(SPLITS)}"
        )
    return listed


def find_listed(volumes: Sequence[Volume], path: Path) -> list[Volume]:
    """The volumes that a list names, with their splits and SHA-256, sorted as in :func:`choose`.

    Raises:
        InputError: if the file is not a list, or names a volume that is not there.
    """
    listed = read_list(path)
    missing = sorted(set(listed) - {volume.name for volume in volumes})
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise InputError(f"{path} lists {missing[0]}{more}, which cannot be found or read here")
    found = []
    for volume in volumes:
        if volume.name in listed:
            split, sha256 = listed[volume.name]
            found.append(replace(volume, split=split, sha256=sha256))
    return _sorted(found)
