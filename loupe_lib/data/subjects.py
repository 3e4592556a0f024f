"""Who a volume is of, where its file does not say: from its path, or from a table."""

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loupe_lib.data.volumes import Volume
from loupe_lib.errors import InputError


def assign_subjects(volumes: Sequence[Volume], rule: str) -> list[Volume]:
    """The volumes, each with its subject as its patient.

    Args:
        volumes: of any subjects; none, to check the rule alone.
        rule: a regular expression, searched for in the absolute path of a volume: its first group,
            or its whole match if it has no group, is the subject. Or ``FILE.csv:COLUMN``: the first
            column of this table holds names of volumes or ends of their paths (such as the name of
            the file), ``COLUMN`` the subject. The longest of these ends counts.

    Raises:
        InputError: if the rule cannot be used, or names no subject for a volume.
    """
    table = re.fullmatch(r"(.+\.csv):(.+)", rule)
    if not table and re.search(r"\.(csv|tsv)(:|$)", rule):
        raise InputError(f"subject: a table is given as FILE.csv:COLUMN; got {rule!r}")
    try:
        subjects = _read_table(Path(table[1]), table[2]) if table else {}
        pattern = re.compile("" if table else rule)
    except re.error as error:
        raise InputError(f"subject must be a regular expression; got {rule!r}: {error}") from error
    found = []
    for volume in volumes:
        path = volume.path.absolute()
        if table:
            ends = (Path(*path.parts[n:]).as_posix() for n in range(len(path.parts)))
            names = [name for name in (volume.name, *ends) if name in subjects]
            subject = subjects[names[0]] if names else None
        else:
            match = pattern.search(path.as_posix())
            subject = match and match[1 if pattern.groups else 0]
        if not subject:
            raise InputError(f"subject: {rule!r} says nothing about {path}")
        found.append(replace(volume, patient=subject))
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
