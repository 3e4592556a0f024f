"""Claim 9: the test that stands in its text, on results made for each outcome."""

import pytest
from msgspec.structs import replace
from scipy import stats

from loupe_companion.beyond.experiment import FULL, Record, Training
from loupe_companion.beyond.tasks import TASKS
from loupe_companion.claims.beyond_mri import MARGIN, judge
from loupe_companion.claims.statistics import REFUTED, SHOWN, UNDECIDED, Finding, NotRun

SLOPES = FULL.slopes
BEST = SLOPES[3]
LAYERS = {"pixels": (0,) * 64, "filters": (0,) * 36}


def record(fixed: dict[float, list[float]], shrunk: list[float]) -> Record:
    """Results with these accuracies in per cent, the same for both layers."""
    runs = [
        Training(task, slope or SLOPES[0], slope is None, seed, 1, slope or SLOPES[0],
                 0.1 if slope == BEST else 1.0, accuracy / 100, accuracy / 100, LAYERS[task], 1.0)
        for task in TASKS
        for slope in (*SLOPES, None)
        for seed, accuracy in enumerate(shrunk if slope is None else fixed.get(slope, [50.0] * 3))
    ]  # fmt: skip
    return Record(code="", python="", packages={}, device="", date="", plan=FULL, runs=tuple(runs))


def findings(made: Record) -> list[Finding]:
    return [item for item in judge(made) if isinstance(item, Finding)]


@pytest.mark.parametrize(
    ("shrunk", "outcomes"),
    [
        ([80.0, 81.0, 80.5], [SHOWN, SHOWN, SHOWN]),
        ([79.5, 80.7, 79.8], [SHOWN, SHOWN, SHOWN]),  # no better than the best, nor worse
        ([77.0, 78.0, 77.6], [REFUTED, SHOWN, SHOWN]),
        ([75.0, 85.0, 80.0], [UNDECIDED, SHOWN, SHOWN]),
        ([40.0, 41.0, 40.5], [REFUTED, REFUTED, REFUTED]),
    ],
)
def test_each_comparison_follows_from_its_interval(shrunk, outcomes):
    best = [80.0, 81.0, 80.4]
    found = findings(record({BEST: best}, shrunk))
    assert [f.outcome for f in found] == outcomes * len(TASKS)
    for finding, other in zip(found, [best, [50.0] * 3, [50.0] * 3] * 2, strict=True):
        wanted = stats.ttest_rel(shrunk, other).confidence_interval(0.95)
        assert finding.interval == pytest.approx((wanted.low, wanted.high))
        assert finding.seeds == 3 and finding.acceleration is None


def test_against_the_best_there_is_a_margin_and_the_best_is_chosen_by_validation():
    found = findings(record({SLOPES[5]: [99.0] * 3}, [60.0, 61.0, 60.0]))
    assert [f.detail for f in found[:3]] == [f"s = {s:g}" for s in (BEST, 1, 4096)]
    assert [f.region[0] for f in found[:3]] == [-MARGIN, 0, 0]


def test_the_interval_is_also_given_with_the_correction_for_splits_of_the_same_images():
    said = [
        item
        for item in judge(record({BEST: [79.0, 80.0, 81.0]}, [82.0] * 3))
        if isinstance(item, str)
    ]
    # differences 3, 2, 1: mean 2, SD 1, t(2) = 4.303; q = 1/2 (pixels), 1 (filters)
    half = [4.303 * (1 / 3 + q) ** 0.5 for q in (0.5, 1)]
    for sentence, h in zip(said[::3], half, strict=True):
        assert f"with the correction {2 - h:.1f} to {2 + h:.1f}: undecided" in sentence


def test_seeds_are_paired_by_their_number():
    made = record({SLOPES[0]: [1.0, 5.0, 2.0]}, [60.0, 70.0, 80.0])
    assert findings(replace(made, runs=made.runs[::-1]))[1].values == pytest.approx((59, 65, 78))


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (lambda run: run.seed < 2, "pixels, s = 1 and 4S: 2 of at least 3 seeds"),
        (lambda run: (run.task, run.slope, run.seed) != ("filters", 64, 1), "filters, s = 64 and"),
        (lambda run: run.shrinks == (run.seed < 2), "s = 1 and 4S: 0 of at least 3"),
    ],
)
def test_too_few_common_seeds_are_no_run(kept, said):
    made = record({}, [60.0, 70.0, 80.0])
    with pytest.raises(NotRun, match=said):
        findings(replace(made, runs=tuple(filter(kept, made.runs))))
