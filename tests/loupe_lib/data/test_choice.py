"""The choice of volumes, and their splits."""

import functools
import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest

from loupe_lib import InputError
from loupe_lib.data.choice import (
    COLUMNS,
    check_split,
    choose,
    find_listed,
    list_text,
    read_list,
    wanted_slices,
)
from loupe_lib.data.images import SPLITS
from loupe_lib.data.volumes import Volume
from tests.common import refusal

PAPER = (1895, 188, 186)


def volume(name: str, patient: str, slices: int) -> Volume:
    read = functools.partial(iter, [])
    return Volume(Path(f"/{name}.h5"), "CORPD_FBK", slices, (320, 320), 1, read, patient, name=name)


def cohort(patients: int, seed: int = 0) -> list[Volume]:
    """As fastMRI's knees: volumes of 28 to 45 slices, one or two of a patient."""
    rng = random.Random(seed)
    return [
        volume(f"file{p:04d}{v}", f"patient {p}", rng.randint(28, 45))
        for p in range(patients)
        for v in range(rng.choice([1, 1, 2]))
    ]


def of(choice, split: str) -> list[Volume]:
    return [v for v in choice if v.split == split]


def slices(choice) -> tuple[int, ...]:
    return tuple(sum(v.slices for v in of(choice, split)) for split in SPLITS)


@pytest.mark.parametrize("seed", range(5))
def test_numbers_are_missed_by_less_than_half_of_a_patient(seed):
    found = slices(choose(cohort(480), PAPER, seed))
    assert all(abs(n - wanted) <= 45 for n, wanted in zip(found, PAPER, strict=True))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("patients", [3, 4, 7, 480])
def test_patients_are_whole_and_in_one_split(patients, seed):
    volumes = cohort(patients, seed)
    choice = choose(volumes, PAPER, seed)
    home = {}
    for split in SPLITS:
        assert of(choice, split) == sorted(of(choice, split), key=lambda v: v.name) != []
        for v in of(choice, split):
            assert home.setdefault(v.patient, split) == split
    names = [v.name for v in choice]
    assert len(set(names)) == len(names)
    assert {v.name for v in volumes if v.patient in home} == set(names)
    assert choice == [v for split in SPLITS for v in of(choice, split)]


def test_the_choice_depends_on_the_seed_and_not_on_the_order_of_the_files():
    volumes = cohort(480)
    shuffled = random.Random(1).sample(volumes, len(volumes))
    assert choose(volumes, PAPER) == choose(shuffled, PAPER)
    assert choose(volumes, PAPER) != choose(volumes, PAPER, seed=1)


def test_the_choice_is_known():
    """By the definition in the docstring: no change of a library may change it."""
    choice = choose([volume(f"v{i}", f"p{i}", 10) for i in range(8)], (30, 10, 10))
    names = {split: [v.name for v in of(choice, split)] for split in SPLITS}
    order = sorted(range(8), key=lambda i: hashlib.sha256(f"0 p{i}".encode()).digest())
    assert names["test"] == [f"v{order[0]}"] and names["validation"] == [f"v{order[1]}"]
    assert names["train"] == sorted(f"v{i}" for i in order[2:5])


@pytest.mark.parametrize("split", [(0.8, 0.1, 0.1), (0.6, 0.3, 0.1), [20 * n for n in PAPER]])
def test_fractions_and_more_slices_than_there_are_share_all_in_proportion(split):
    volumes = cohort(60)
    total = sum(v.slices for v in volumes)
    wanted = [total * n / sum(split) for n in split]
    assert wanted_slices(total, split) == pytest.approx(wanted)
    found = slices(choose(volumes, split))
    assert sum(found) == total  # nothing is left
    assert all(abs(n - m) <= 90 for n, m in zip(found, wanted, strict=True))
    assert wanted_slices(10_000, PAPER) == list(PAPER)


@pytest.mark.parametrize("seed", range(6))
def test_one_large_patient_is_for_training(seed):
    volumes = [volume(f"v{i}", f"p{i}", s) for i, s in enumerate([1212, 4, 12])]
    assert slices(choose(volumes, (0.8, 0.1, 0.1), seed))[0] == 1212


def test_fewer_patients_than_splits_are_refused():
    volumes = [volume(f"v{i}", f"p{i % 2}", 10) for i in range(8)]
    with pytest.raises(InputError, match=r"at least three patients; .* are of 2 \(p0, p1\)\. Give"):
        choose(volumes, PAPER)


@pytest.mark.parametrize(
    ("split", "shown"),
    [
        ((0.9, 0.2, 0.1), "0.9,0.2,0.1"),
        ((10.5, 2, 1), "10.5,2,1"),
        ((100, 0.1, 0.1), "100,0.1,0.1"),
        ((10, 0, 1), "10,0,1"),
        ((10, 1), "10,1"),
        ((), "none"),
        ((float("nan"), 0.1, 0.1), "nan,0.1,0.1"),
        ((1, 1, float("inf")), "1,1,inf"),
    ],
)
def test_other_splits_are_refused(split, shown):
    assert refusal(check_split, split) == (
        "split must be three numbers above 0 (train, validation, test): fractions that add up to 1 "
        f"or less, or whole numbers of slices; got {shown}"
    )


@pytest.mark.parametrize("split", [(0.33, 0.56, 0.11), (1, 1, 1), (0.3, 0.1, 0.1)])
def test_fractions_and_whole_numbers_are_accepted(split):
    check_split(split)


LISTED = [
    replace(volume(f"folder/{split}é", "", 36), split=split, sha256=64 * "a") for split in SPLITS
]
NAMED = {v.name: (v.split, v.sha256) for v in LISTED}


def test_a_list_is_read_back(tmp_path):
    (tmp_path / "list.tsv").write_text(list_text(LISTED), "utf-8")
    assert read_list(tmp_path / "list.tsv") == NAMED
    volumes = [replace(v, split="", sha256="") for v in LISTED]
    every = [volume("other", "other", 1), *volumes[::-1]]
    assert find_listed(every, tmp_path / "list.tsv") == LISTED


HEADER = "\t".join(COLUMNS)
WHOLE = list_text(LISTED)


@pytest.mark.parametrize(
    "text",
    [
        "",
        WHOLE.replace("\t", ","),
        WHOLE.removeprefix(HEADER),
        WHOLE + WHOLE.splitlines()[1],
        f"{WHOLE}more\tof\tthis\tthan\tcolumns",
        f"{WHOLE}all\tfile\t36\t{64 * 'a'}",
        b"\xff\xfe",
        list_text(LISTED[:2]),
    ],
)
def test_other_lists_are_refused(text, tmp_path):
    path = tmp_path / "list.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert refusal(read_list, path) == (
        f"{path} is not a list of volumes: its first line must be split, volume, slices, sha256, "
        "with tabs between; then comes one line for each volume, and at least one for each of "
        "train, validation, test"
    )


def test_volumes_that_are_listed_and_not_there_are_named(tmp_path):
    (tmp_path / "list.tsv").write_text(WHOLE, "utf-8")
    with pytest.raises(InputError, match=r"list\.tsv lists folder/testé and 1 more"):
        find_listed(LISTED[:1], tmp_path / "list.tsv")
