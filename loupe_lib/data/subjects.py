"""Who a volume is of, where its file does not say: from its path, or from a table."""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from loupe_lib.data.volumes import Volume
from loupe_lib.errors import InputError

TABLE = re.compile(r"(.+\.csv):(.+)")
LIKE_TABLE = re.compile(r"\.(csv|tsv)(:|$)")


def subject_finder(rule: str) -> Callable[[Volume], str | None]:
    """A function that names the subject of a volume, or returns nothing if it cannot.

    Args:
        rule: a regular expression, searched for in the absolute path of the volume: its first
            group, or its whole match if it has no group, is the subject. Or ``FILE.csv:COLUMN``:
            the first column of this table holds names of volumes or ends of their paths (such as
            the name of the file), ``COLUMN`` the subject. The longest of these ends counts.

    Raises:
        InputError: if the rule is not a regular expression, or the table cannot be used.
    """
    table = TABLE.fullmatch(rule)
    if table:
        subjects = _read_table(Path(table[1]), table[2])

        def find(volume: Volume) -> str | None:
            parts = volume.path.absolute().parts
            ends = (Path(*parts[first:]).as_posix() for first in range(len(parts)))
            return next((subjects[name] for name in (volume.name, *ends) if name in subjects), None)

        return find
    if LIKE_TABLE.search(rule):
        raise InputError(f"subject: a table is given as FILE.csv:COLUMN; got {rule!r}")
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise InputError(f"subject must be a regular expression; got {rule!r}: {error}") from error

    def search(volume: Volume) -> str | None:
        match = pattern.search(volume.path.absolute().as_posix())
        return match and match[1 if pattern.groups else 0]

    return search


def assign_subjects(volumes: Sequence[Volume], rule: str) -> list[Volume]:
    """The volumes, each with its subject as its patient; see :func:`subject_finder`.

    Raises:
        InputError: if the rule cannot be used, or names no subject for a volume.
    """
    find = subject_finder(rule)
    found = [replace(volume, patient=find(volume) or "") for volume in volumes]
    missing = [volume for volume in found if not volume.patient]
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise InputError(f"subject: {rule!r} says nothing about {missing[0].path.absolute()}{more}")
    return found


def _read_table(path: Path, column: str) -> dict[str, str]:
    """The first column of a CSV file -> another column."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            rows, columns = list(table), table.fieldnames or []
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error
    if column not in columns:
        raise InputError(f"{path} has no column {column}; it has {', '.join(columns) or 'none'}")
    subjects: dict[str, str] = {}
    for row in rows:
        name, subject = row[columns[0]], row[column]
        if subjects.setdefault(name, subject) != subject:
            raise InputError(f"{path} names two subjects for {name}: {subjects[name]}, {subject}")
    return subjects
