"""Who a volume is of, by a regular expression or a table; and that nobody is in two splits."""

import functools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loupe_companion.data_report import describe
from loupe_lib import InputError
from loupe_lib.data.images import SPLITS
from loupe_lib.data.importing import Selection, import_files
from loupe_lib.data.subjects import assign_subjects
from loupe_lib.data.volumes import Volume
from tests.common import refusal


def volumes(*paths: str) -> list[Volume]:
    """Named by the last two parts of their paths."""
    return [
        Volume(Path(path), "npy", 1, (32, 32), 1, functools.partial(iter, []), name=path[6:])
        for path in paths
    ]


FILES = "/data/p1/first.npy", "/data/p1/second.npy", "/data/p2/first.npy"


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (r"p\d", ["p1", "p1", "p2"]),
        (r"/p(\d)/", ["1", "1", "2"]),
        (r"/data/(?:p1|(p2))/(first|second)", None),  # the first group does not match p1
        (r"first|second", ["first", "second", "first"]),
        (r"^/data/p2", None),
    ],
)
def test_an_expression_is_searched_for_in_the_path(rule, wanted):
    if wanted:
        assert [v.patient for v in assign_subjects(volumes(*FILES), rule)] == wanted
        return
    told = refusal(assign_subjects, volumes(*FILES), rule)
    assert told == f"subject: {rule!r} says nothing about /data/p1/first.npy"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("file,age,person\nfirst.npy,30,A\nsecond.npy,40,B\n", ["A", "B", "A"]),
        # The longest end counts, and a byte-order mark (of Excel) does not.
        ("\ufefffile,person\r\nfirst.npy,A\r\np1/second.npy,B\r\np2/first.npy,C\r\n", [*"ABC"]),
        ('file,person\n/data/p1/first.npy,"A, B"\nsecond.npy,C\nfirst.npy,C\n', ["A, B", "C", "C"]),
    ],
)
def test_the_first_column_of_a_table_names_volumes_or_ends_of_their_paths(text, wanted, tmp_path):
    (tmp_path / "people.csv").write_bytes(text.encode())
    found = assign_subjects(volumes(*FILES), f"{tmp_path / 'people.csv'}:person")
    assert [v.patient for v in found] == wanted


def test_a_table_may_name_volumes(tmp_path):
    (tmp_path / "people.csv").write_text("volume,person\nsinglecoil_train/file1,A\n")
    (volume,) = volumes("/data/singlecoil_train/file1.h5")
    named = replace(volume, name="singlecoil_train/file1")
    found = assign_subjects([named], f"{tmp_path / 'people.csv'}:person")
    assert found == [replace(named, patient="A")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file;person\nfirst.npy;A\n", "people.csv has no column person; it has file;person"),
        ("", "people.csv has no column person; it has none"),
        ("file,person\nfirst.npy,A\nfirst.npy,B\n", "names two subjects for first.npy: A, B"),
        ("file,person\nfirst.npy,A\n", "person' says nothing about /data/p1/second.npy"),
        ("file,person\nsecond.npy\n", "person' says nothing about /data/p1/first.npy"),
        (b"\xff\xfe", "people.csv is not a CSV file"),
        (None, "people.csv: No such file or directory"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(text, reason, tmp_path):
    path = tmp_path / "people.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert reason in refusal(assign_subjects, volumes(*FILES[:2]), f"{path}:person")


TABLE = r"a table is given as FILE\.csv:COLUMN; got 'people"


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("(", r"subject must be a regular expression; got '\('"),
        *((rule, TABLE) for rule in ("people.tsv:who", "people.csv", "people.csv:")),
    ],
)
def test_another_rule_is_refused_before_any_file_is_read(rule, told):
    with pytest.raises(InputError, match=told):
        Selection((0.8, 0.1, 0.1), subject=rule)


def test_volumes_of_a_subject_stay_together_and_the_report_lists_them(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{person}{visit}.npy" for person in "abcdef" for visit in "123"]
    for path in paths:
        np.save(path, rng.random((2, 32, 32)))
    apart = import_files(paths, tmp_path / "apart.h5")
    assert len({v.patient for v in apart.converted}) == len(paths)
    assert "subject" not in describe(apart)
    selection = Selection((0.6, 0.2, 0.2), subject=r"([a-f])\d\.npy")
    report = import_files(paths, tmp_path / "out.h5", selection)
    text = describe(report)
    everyone = []
    for split in SPLITS:
        for subject in {v.patient for v in report.of(split)}:
            everyone.append(subject)
            row = f" *{split} +{subject} +{subject}1.npy, {subject}2.npy, {subject}3.npy"
            assert re.search(f"^{row}$", text, re.MULTILINE)
    assert sorted(everyone) == [*"abcdef"]
