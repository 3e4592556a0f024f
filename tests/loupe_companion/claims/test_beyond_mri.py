"""Claim 9: the test that stands in its text, on results made for each outcome."""

import dataclasses

import pytest
from scipy import stats

from loupe_companion.beyond.experiment import FULL, Outcome, Record
from loupe_companion.beyond.tasks import TASKS
from loupe_companion.claims.beyond_mri import CLAIM, MARGIN, judge
from loupe_companion.claims.statistics import REFUTED, SHOWN, UNDECIDED, NotRun

SLOPES = FULL.slopes
BEST = SLOPES[3]


def record(
    fixed: dict[float, list[float]], shrunk: list[float], seeds: int | None = None
) -> Record:
    """Results with these accuracies in per cent, the same for both layers."""
    outcomes = []
    for task in TASKS:
        for slope in (*SLOPES, None):
            accuracies = shrunk if slope is None else fixed.get(slope, [50.0] * len(shrunk))
            loss = 0.1 if slope == BEST else 1.0
            for seed, accuracy in enumerate(accuracies[:seeds]):
                start = SLOPES[0] if slope is None else slope
                outcomes.append(
                    Outcome(task, start, slope is None, seed, 1, start, loss, accuracy / 100,
                            accuracy / 100, (0,), 1.0)
                )  # fmt: skip
    return Record(FULL, {}, tuple(outcomes))


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
    findings, sentences = judge(record({BEST: best}, shrunk))
    assert [f.outcome for f in findings] == outcomes * len(TASKS)
    assert len(sentences) == len(findings)
    for finding, other in zip(findings, (best, [50.0] * 3, [50.0] * 3) * 2, strict=True):
        wanted = stats.ttest_rel(shrunk, other).confidence_interval(0.95)
        assert finding.interval == pytest.approx((wanted.low, wanted.high))
        assert finding.seeds == 3 and finding.acceleration is None


def test_against_the_best_there_is_a_margin_and_the_best_is_chosen_by_validation():
    findings, _ = judge(record({SLOPES[5]: [99.0] * 3}, [60.0, 61.0, 60.0]))
    assert [f.detail for f in findings[:3]] == [f"s = {s:g}" for s in (BEST, 1, 4096)]
    assert [f.region[0] for f in findings[:3]] == [-MARGIN, 0, 0]


def test_seeds_are_paired_by_their_number():
    made = record({}, [60.0, 70.0, 80.0])
    reversed_ = made._replace(outcomes=made.outcomes[::-1])
    assert judge(reversed_) == judge(made)


def test_too_few_seeds_of_any_run_are_no_run():
    made = record({}, [60.0, 70.0, 80.0])
    with pytest.raises(NotRun, match="pixels, s = 1 and 4S: 2 of at least 3 seeds"):
        judge(record({}, [60.0, 70.0, 80.0], seeds=2))
    kept = tuple(o for o in made.outcomes if (o.task, o.slope, o.seed) != ("filters", 64, 1))
    with pytest.raises(NotRun, match="filters, s = 64 and 4S"):
        judge(made._replace(outcomes=kept))
    other = (dataclasses.replace(o, seed=o.seed + 9) if o.shrinks else o for o in made.outcomes)
    with pytest.raises(NotRun, match="0 of at least 3"):
        judge(made._replace(outcomes=tuple(other)))


def test_the_text_names_the_numbers_of_the_experiment():
    assert "seven fixed slopes from 1 to\n4096, a factor of 4 apart" in CLAIM.test
    assert tuple(4.0**i for i in range(7)) == SLOPES
    assert "ten seeds" in CLAIM.test and len(FULL.seeds) == 10
    assert f"-{MARGIN:g} point" in CLAIM.test and not CLAIM.known
