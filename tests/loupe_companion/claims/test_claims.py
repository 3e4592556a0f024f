"""Every claim's test, on results made so that each verdict must come out, and on real runs."""

import dataclasses
import json
import math
import re
from typing import Any

import numpy as np
import pytest
from scipy import stats

from loupe_companion.claims import adapted_masks, against_best, settings, trained_slope
from loupe_companion.claims.baselines import baselines, exact
from loupe_companion.claims.record import FILE, kept_verdicts, record
from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    NOT_RUN,
    NOT_TESTABLE,
    REFUTED,
    SHOWN,
    UNDECIDED,
    Verdict,
)
from loupe_companion.claims.tuning_cost import cost_table
from loupe_companion.claims.verdicts import TESTS, judge
from loupe_companion.profiles import find_profile
from tests.common import ROOT, dft2, uncentre
from tests.loupe_companion.claims.conftest import SLOPES, World, rows

Values = dict[str, dict[str, Any]]


def plus(*gains: float) -> dict[str, tuple[float, ...]]:
    """PSNR that differs by seed, as all runs have it at first, plus a gain for each seed."""
    return {"psnr": tuple(np.add((30.0, 31.0, 32.0), gains))}


def slopes(*levels: float) -> Values:
    """Mean PSNR at each fixed slope."""
    return {f"s={s}": plus(*[level - 30] * 3) for s, level in zip(SLOPES, levels, strict=True)}


def soft(m_low: float, m_high: float, p_low: float, p_high: float) -> Values:
    """Fractions of entries of M and P far from 0 and 1 at the lowest and the highest slope."""
    return {
        "s=20": {"soft_share": m_low, "undecided_share": p_low},
        "s=2000": {"soft_share": m_high, "undecided_share": p_high},
    }


def relaxed(low: float, shrunk: float, kept: float = 1.0) -> Values:
    """PSNR with relaxed masks at the lowest slope and under 4S; 30 with the thresholded mask."""
    return {
        ".*": {"psnr": 30.0, "kept": 1.0},
        "s=20": {"relaxed": low},
        "4S": {"relaxed": shrunk, "kept": kept},
    }


def trained(*path: float) -> Values:
    return {"trained-slope": {"path": list(path)}}


@pytest.mark.parametrize(
    ("number", "values", "verdict", "words"),
    [
        (1, soft(0.2, 1e-4, 0.5, 0.1), HOLDS, "50.0 % of the probabilities are between"),
        (1, soft(0.2, 1e-4, 0.1, 0.5), DOES_NOT_HOLD, "at s = 20, and 50.0 % at s = 2000"),
        # What follows from the equations has no vote.
        (1, soft(0.05, 0.05, 0.5, 0.1), HOLDS, "Of the entries of M, 5.0 % and 5.00 % are"),
        (2, slopes(30, 33, 25), HOLDS, "best inner slope is s = 200: 3.00 dB against"),
        (2, slopes(33, 30, 25), IN_PART, "is s = 200: -3.00 dB against the lowest (refuted)"),
        (2, slopes(25, 30, 33), IN_PART, "5.00 dB against the lowest (shown), -3.00 dB against"),
        (2, slopes(30, 30, 30), DOES_NOT_HOLD, "s = 200: 0.00 dB against the lowest (refuted)"),
        # An end that wins refutes nothing by itself: here its lead is 3 dB, give or take 7.5.
        (2, {"s=20": plus(0, 3, 6), "s=2000": plus(-5, -5, -5)}, IN_PART, "lowest (undecided)"),
        (6, relaxed(33.0, 30.0), HOLDS, "costs 3.00 dB at s = 20"),
        (6, relaxed(33.0, 29.0, kept=1.05), HOLDS, "-1.00 dB under"),  # thresholding may gain
        (6, relaxed(30.5, 30.0), IN_PART, "costs 0.50 dB"),
        (6, relaxed(30.5, 31.0, kept=0), DOES_NOT_HOLD, "keeps 0.00"),  # an empty mask
        (6, relaxed(33.0, 31.0, kept=1.2), IN_PART, "keeps 1.20"),
        (8, trained(200, 50, 0.4), HOLDS, "end at 0.4, 0.4, 0.4. 3 of 3 end below 1.10."),
        (
            8,
            trained(200, 50, 100),
            IN_PART,
            "fall from 200 after the first epoch to a lowest value of 50, 5",
        ),
        (8, trained(200, 200, 200), DOES_NOT_HOLD, "end at 200, 200, 200. 0 of 3"),
        (8, trained(200, 210, 230), DOES_NOT_HOLD, "end at 230, 230, 230."),
    ],
)
def test_each_verdict_comes_out(world, number, values, verdict, words):
    for pattern, changes in values.items():
        world.put(pattern, **changes)
    found = world.verdict(number)
    assert found.verdict == verdict
    assert words in " ".join(found.sentences)


def outcomes(verdict: Verdict, part: str = "") -> list[str]:
    return [f.outcome for f in verdict.findings if f.part.startswith(part)]


def test_what_is_undecided_says_which_way_it_leans_and_how_many_seeds_it_needs(world):
    world.put("s=20", **plus(0, 0, 0)).put("s=2000", **plus(-9, -9, -9)).put(
        "s=200", **plus(1, 6, 2)
    )
    assert world.verdict(2).sentences[0] == (
        "Comparisons that count for the verdict: 2 shown, 2 undecided. 9 seeds would decide each "
        "of them with a probability of at least 80%."
    )
    world.put("s=200", r=4, **plus(-1, -6, -2))
    assert "3 undecided (1 of them with" in world.verdict(2).sentences[0]
    assert world.verdict(2).label.replace("\N{NO-BREAK SPACE}", " ") == "holds in part (1 of 4)"
    world.put("4S", r=4, slope=(20.0, 200.0, 2000.0))
    assert world.verdict(5).label.split() == ["undecided", "(n", "=", "3)"]
    assert "seeds would decide" not in world.verdict(5).sentences[0]  # its interval is Welch's


def test_the_ratio_of_claim_1_is_shown_beside_it_and_left_out_at_0(world):
    for pattern, changes in soft(0.2, 1e-4, 0.1, 0.4).items():
        world.put(pattern, **changes)
    ratio = [f for f in world.verdict(1).findings if f.part.startswith("(2)")]
    assert [(f.outcome, f.decides) for f in ratio] == [(REFUTED, False)] * 2
    assert ratio[0].values == pytest.approx([math.log(0.1 / 0.4)] * 3)
    world.put("s=20", undecided_share=0.0)
    assert outcomes(world.verdict(1), "(2)") == []


@pytest.mark.parametrize(
    ("gains", "outcomes", "verdict"),
    [
        ((0.1, 0.1, 0.1), [SHOWN, SHOWN], HOLDS),
        ((-0.2, -0.2, -0.2), [SHOWN, REFUTED], IN_PART),  # within the margin
        ((-0.4, -0.4, -0.4), [REFUTED, REFUTED], DOES_NOT_HOLD),
        ((-5, 0, 5), [UNDECIDED, UNDECIDED], UNDECIDED),  # 12.4 either way
        ((-0.1, 0.0, 0.1), [SHOWN, UNDECIDED], IN_PART),
    ],
)
def test_claim_3_asks_for_not_worse_and_for_better(later, gains, outcomes, verdict):
    found = later.put("4S", **plus(*gains)).verdict(3)
    assert [f.outcome for f in found.counted] == outcomes * 2
    assert found.verdict == verdict
    assert "N = 32, R = 4, seeds 3 to 5: 4S is" in found.sentences[1]


def test_claim_3_tunes_by_validation(later):
    later.put("s=20", loss=0.1, psnr=28.0).put("s=2000", loss=0.2, psnr=36.0)
    found = later.put("4S", psnr=28.1).verdict(3)
    assert found.verdict == HOLDS and {f.detail for f in found.counted} == {
        "s = 20, the best of 3 slopes"
    }
    assert found.sentences[2].startswith("4S starts at this slope")


def test_the_seeds_by_which_the_start_was_chosen_do_not_count_for_claim_3(world, template):
    seen = world.put("4S", psnr=10.0).verdict(3)
    assert seen.verdict == NOT_RUN and not seen.findings
    both = World(template, seeds=(0, 1, 2, 3, 4, 5))
    both.put("4S", psnr=lambda key: 10.0 if key[2] < 3 else 50.0)
    both.put("4S s0=1|4S released", psnr=10.0)
    found = both.verdict(3)
    assert found.verdict == HOLDS and {f.seeds for f in found.counted} == {3}
    beside = {f.part.replace(", N = 32", ""): f for f in found.findings if not f.decides}
    assert beside.keys() == {
        "seeds 0 to 2: 4S",
        "seeds 0 to 2: 4S, best by test",
        "seeds 3 to 5: 4S, best by test",
        *(f"{seeds}: 4S s0={s}" for seeds in ("seeds 3 to 5", "seeds 0 to 2") for s in (1, 200)),
        *(
            f"{seeds}: 4S released{kind}"
            for seeds in ("seeds 3 to 5", "seeds 0 to 2")
            for kind in ("", " double round")
        ),
    }
    assert beside["seeds 0 to 2: 4S"].outcome == REFUTED
    assert beside["seeds 3 to 5: 4S s0=200"].outcome == SHOWN


def test_seeds_8_to_23_decide_claim_3_where_all_are_there_and_the_others_choose_the_slope(template):
    deciding = against_best.DECIDING
    world = World(template, seeds=(3, 4, 5, *deciding))
    world.drop("(?!4S$|s=200$).*", seeds=deciding)
    world.put("s=200", loss=0.1, psnr=30.0).put("s=20", loss=lambda key: 0.2)
    world.put("4S", psnr=lambda key: 29.0 if key[2] < 6 else 29.9)
    found = world.verdict(3)
    assert [(f.seeds, f.outcome) for f in found.counted] == [(16, SHOWN), (16, REFUTED)] * 2
    part = "seeds 3 to 5, N = 32: 4S"
    chose = [f for f in found.findings if f.part == part]
    assert [(f.mean, f.outcome, f.decides) for f in chose] == [(-1, REFUTED, False)] * 2
    assert found.sentences[1].startswith(
        "N = 32, R = 4, seeds 8 to 23: 4S is 0.10 dB below s = 200, the best by validation of the "
        "fixed slopes 20, 200, 2000 on seeds 3 to 5. It is above in 0 of 16 seeds; the median "
        "difference is -0.10 dB. The standard deviation of the PSNR over seeds is 0.00 dB (4S) and "
        "0.00 dB (s = 200). The zero frequency is kept by"
    )
    found = world.drop("4S", seeds=(8,)).verdict(3)  # without all of them they do not count
    assert [(f.seeds, f.mean) for f in found.counted] == [(3, -1)] * 4


def test_claim_3_has_a_test_with_the_zero_frequency_always_measured_beside_it(later, template):
    measured = World(template, seeds=(3, 4, 5))
    measured.profile = dataclasses.replace(
        measured.profile, settings=measured.profile.settings | {"center": 1}
    )
    for (name, r, seed), run in measured.put("4S", **plus(-0.1, -0.1, -0.1)).runs.items():
        config = measured.profile.config(method(measured, name), r, seed)
        later.runs[f"{name} center", r, seed] = dataclasses.replace(run, config=config)
    found = [
        f
        for f in later.verdict(3).findings
        if f.part.endswith((": 4S, at most 0.3 dB worse", ": 4S, better"))
    ]
    assert [(f.part, f.outcome, f.decides) for f in found] == [
        (f"seeds 3 to 5, N = 32, DC always measured: 4S, {what}", outcome, False)
        for what, outcome in (("at most 0.3 dB worse", SHOWN), ("better", REFUTED))
    ] * 2


def test_claims_2_and_6_show_the_paper_s_slopes_beside_a_grid_that_starts_lower(template):
    world = World(template, slopes=(2, 20, 200, 2000))
    world.put("s=2", psnr=20.0).put("s=2", relaxed=26.0)
    world.put("s=20", psnr=30.0).put("s=20", relaxed=30.5)
    world.put("s=200", psnr=29.0).put("s=2000", psnr=25.0)
    for number, beside in (
        (
            2,
            {
                "(1) best inner slope minus lowest, slopes from 20": -1,
                "(2) best inner slope minus highest, slopes from 20": 4,
            },
        ),
        (6, {"(6) cost at the paper's lowest s": 0.5}),
    ):
        found = {f.part: f for f in world.verdict(number).findings if f.part in beside}
        assert {part: f.mean for part, f in found.items()} == pytest.approx(beside)
        assert not any(f.decides for f in found.values())
    assert world.verdict(2).verdict == HOLDS
    assert not [f for f in World(template).verdict(6).findings if f.part.startswith("(6)")]


def test_claim_3_shows_the_paper_s_slopes_alone_where_the_grid_starts_lower(template):
    world = World(template, seeds=(3, 4, 5), slopes=(2, 20, 200))
    found = world.put("s=2", psnr=40.0, loss=0.01).put("4S", **plus(1, 1, 1)).verdict(3)
    assert (
        found.verdict == DOES_NOT_HOLD and "s = 2, the best of 3 slopes" in found.counted[0].detail
    )
    beside = [f for f in found.findings if "slopes from 20" in f.part]
    assert [(f.mean, f.detail, f.outcome) for f in beside] == [(1, "s = 20", SHOWN)] * 2


def test_new_seeds_of_a_smaller_size_count_for_claim_3_too(world, template):
    small = World(template, seeds=(3, 4, 5))
    small.put("4S", psnr=50.0).drop("s=2000")  # slopes that were run will do
    found = judge(world.table(), small.table())[2]
    assert found.verdict == HOLDS and len(found.counted) == 4
    assert any(s.startswith("N = 32, R = 4: fewer than 3 seeds from 3 on") for s in found.sentences)


def test_claim_3_shows_the_guaranteed_centre_and_other_test_persons_beside(later, template):
    for changed in ({"center": 1}, {"test_head": "colin27"}, {"test_head": "mni152"}):
        other = World(template)
        both = other.profile.settings | changed
        other.profile = dataclasses.replace(other.profile, settings=both)
        for (name, r, seed), run in other.put("4S", psnr=45.0).runs.items():
            if name in ("4S", "s=20", "s=200", "s=2000"):
                config = other.profile.config(method(other, name), r, seed)
                key = (f"{name} {changed}", r, seed)
                later.runs[key] = dataclasses.replace(run, config=config)
    found = later.verdict(3)
    beside = [f for f in found.findings if not f.decides and "seeds 3" not in f.part]
    assert [(f.part, f.acceleration, f.outcome) for f in beside] == [
        (f"seeds 0 to 2, N = 32, {label}: 4S", r, SHOWN)
        for label in ("DC always measured", "tested on colin27", "tested on mni152")
        for r in (4, 8)
    ]


def method(world: World, name: str) -> Any:
    return next(m for m in world.profile.methods if m.name == name)


def test_the_spreads_of_training_subjects_and_test_person_are_told_apart(template):
    both = World(template, seeds=(0, 1, 2, 3, 4, 5))
    both.put("4S", psnr=lambda key: (31, 32, 33, 31, 34, 34)[key[2]])
    for head, shift in (("colin27", 2.0), ("mni152", 4.0)):
        other = World(template)
        for (name, r, seed), run in other.put("4S", **plus(*[shift] * 3)).runs.items():
            if name in ("4S", "s=20", "s=200", "s=2000"):
                config = dataclasses.replace(run.config, test_head=head)
                both.runs[f"{name} {head}", r, seed] = dataclasses.replace(run, config=config)
    found = against_best.spreads(both.table(), 4)
    # 4S minus fixed, by seed: 1, 1, 1 and 1, 3, 2; the means of the three persons: 1, 2, 4
    assert found == {
        **{f"training alone, tested on {h}": (0.0, 3) for h in ("colin27", "mni152", "s1")},
        "training and subjects, tested on s1": (pytest.approx(1.0), 3),
        "test person (mean over seeds of each)": (pytest.approx(np.std([1, 2, 4], ddof=1)), 3),
    }


@pytest.fixture(scope="module")
def shape(images) -> np.ndarray:
    """(N, N) mean power spectrum of the training images, centred, by the definition of the DFT."""
    return uncentre((np.abs(dft2(images.train.images.double().numpy())) ** 2).mean(0))


def ranks(values: np.ndarray) -> np.ndarray:
    """From 0 for the lowest to 1 for the highest."""
    return np.argsort(np.argsort(values, axis=None)).reshape(values.shape) / (values.size - 1)


def top(values: np.ndarray, r: int) -> np.ndarray:
    """The mask of the largest N*N/R values."""
    return (ranks(-values) < 1 / r).astype(np.float32)


@pytest.mark.parametrize(
    ("make", "verdict", "parts"),
    [
        (top, HOLDS, [SHOWN, SHOWN, SHOWN]),
        (lambda shape, r: top(-shape, r), IN_PART, [SHOWN, REFUTED, REFUTED]),
        # Its order is that of the spectrum, but nothing is decided.
        (lambda shape, r: 1 / r + 1e-3 * (ranks(shape) - 0.5), IN_PART, [REFUTED, SHOWN, SHOWN]),
    ],
)
def test_claim_4_asks_for_binary_and_adapted_masks(world, shape, make, verdict, parts):
    rng = np.random.default_rng(0)
    world.put("s=2000", probabilities=lambda key: rng.random(shape.shape, np.float32))
    world.put("4S", probabilities=lambda key: make(shape, key[1]).astype(np.float32))
    found = world.verdict(4)
    assert found.verdict == verdict
    assert [f.outcome for f in found.counted] == parts * 2


def test_energy_and_correlation_are_those_of_the_definitions(world, shape):
    run = world.runs["4S", 4, 0]
    p = run.probabilities
    energy = shape[top(p, 4) == 1].sum() / shape.sum()
    assert adapted_masks.energy_fraction(run, shape) == pytest.approx(energy)
    # k and -k are averaged, so a mask and its mirror image agree with the spectrum alike.
    index = -np.arange(len(p)) % len(p)
    mirror = uncentre(uncentre(p)[np.ix_(index, index)])
    expected = np.corrcoef(ranks((p + mirror) / 2).ravel(), ranks(shape).ravel())[0, 1]
    assert adapted_masks.spectrum_correlation(run, shape) == pytest.approx(expected, abs=1e-3)
    distance = 4 * np.mean(abs(p - np.where(p > 0.5, 1, 0)))
    assert adapted_masks.distance_from_binary(run) == pytest.approx(distance)


@pytest.mark.parametrize(
    ("slopes", "verdict"),
    [
        ((1000.0, 1100.0, 1200.0), HOLDS),
        ((210.0, 190.0, 200.0), DOES_NOT_HOLD),  # less than one raise apart
        ((20.0, 200.0, 2000.0), UNDECIDED),
    ],
)
def test_claim_5_compares_the_slopes_that_were_returned(world, slopes, verdict):
    others = (190.0, 200.0, 215.0)
    found = world.put("4S", r=4, slope=slopes).put("4S", r=8, slope=others).verdict(5)
    assert found.verdict == verdict
    geometric = math.exp(np.mean(np.log(slopes)) - np.mean(np.log(others)))
    said = " ".join(found.sentences)
    assert f"(geometric mean over seeds) is {geometric:.3g}, with" in said
    (finding,) = found.findings
    welch = stats.ttest_ind(np.log(slopes), np.log(others), equal_var=False)
    wanted = welch.confidence_interval(0.95)
    assert finding.interval == pytest.approx((wanted.low, wanted.high))
    assert finding.mean == pytest.approx(math.log(geometric))


def test_claim_5_says_how_much_the_slope_depends_on_the_settings(world):
    world.put("4S s0=1", r=4, slope=20.0).put("4S s0=1", r=8, slope=50.0)
    assert world.put("4S", slope=(190.0, 200.0, 215.0)).verdict(5).sentences[-1] == (
        "Over 10 settings of p, m and the initial slope, the ratio lies between 0.4 and 1. At "
        "R = 4 the returned slope differs between these settings by up to a factor of 10. It "
        "depends on them more than on R."
    )
    world.put("4S.*", r=4, slope=600.0).put("4S.*", r=8, slope=200.0)
    assert world.verdict(5).sentences[-1].endswith("by up to a factor of 1.")


def test_claim_7_asks_for_equivalent_settings(world):
    assert world.verdict(7).verdict == HOLDS  # settings change nothing
    m = {"1.2": -0.2, "2": 0.1, "3": 0.2}
    world.put("4S s0=200 m=.*", psnr=lambda key: 30 + key[2] + m[key[0].rpartition("=")[2]])
    found = world.verdict(7)
    assert found.verdict == HOLDS
    assert [f.detail for f in found.findings if f.part.endswith(" m")] == ["3 minus 1.2"] * 2
    world.put("4S s0=200 m=3", psnr=lambda key: 33 + key[2])
    found = world.verdict(7)
    assert found.verdict == IN_PART
    assert outcomes(found, "largest difference between two values of m") == [REFUTED] * 2
    assert outcomes(found, "largest difference between two values of p") == [SHOWN] * 2


def test_the_initial_slope_is_compared_and_has_no_vote(world):
    found = world.put("4S s0=1", psnr=10.0).verdict(7)
    assert found.verdict == HOLDS
    beside = [f for f in found.findings if "initial s" in f.part]
    assert [(f.outcome, f.decides) for f in beside] == [(REFUTED, False)] * 2
    # Every start is there, with the p and m that all starts share.
    assert "10.00 (1), 31.00 (20), 31.00 (200), 31.00 (2000). The" in found.sentences[-1]


def test_claim_7_is_undecided_where_chance_could_do_it(world):
    for p, psnr in {4: (30, 28, 29), 16: (32, 30, 31), 40: (30, 32, 31)}.items():
        world.put(f"4S s0=200 p={p}", psnr=psnr)
    world.put("4S s0=200 p=40", path=[200.0, 300.0, 300.0])
    found = world.verdict(7)
    assert outcomes(found, "largest difference between two values of p") == [UNDECIDED] * 2
    assert "300 (40), mean over seeds" in found.sentences[1]  # the highest slope on the way
    world.put("4S s0=200 p=16", psnr=lambda key: 30 + key[2]).put("4S s0=200 p=4", psnr=30.0)
    world.put("4S s0=200 p=40", psnr=50.0)
    assert "Without p = 40, the largest difference at R = 4 is that of p = " in (
        said := world.verdict(7).sentences[2]
    )
    assert "50" not in said


def test_tukey_s_intervals_hold_for_all_pairs_at_once():
    # With one factor, statsmodels' and R's TukeyHSD agree with scipy's; the two-way table only
    # removes the effect of seeds first. By simulation: the largest of all differences of means of
    # equal settings exceeds the half width in one of twenty tables.
    rng = np.random.default_rng(3)
    tables = rng.normal(size=(4000, 4, 3)) + 10 * rng.normal(size=(4000, 1, 3))
    means = tables.mean(axis=2)
    half = np.array([settings.tukey(table) for table in tables])
    assert np.mean(np.ptp(means, axis=1) > half) == pytest.approx(0.05, abs=0.012)


def test_near_one_half_is_between_a_quarter_and_three_quarters():
    p, u = np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 101))
    m = 1 / (1 + np.exp(-trained_slope.GONE * (p - u)))
    assert m.min() == pytest.approx(0.25) and m.max() == pytest.approx(0.75)
    # 50 bins of 0.02: those from 0.26 to 0.74
    assert trained_slope.near_half(np.arange(50.0)) == sum(range(13, 37))


@pytest.mark.parametrize("claim", TESTS, ids=lambda claim: claim.number)
def test_fewer_than_three_seeds_are_no_test(world, claim):
    for each in world.table().methods(*claim.families):
        world.drop(re.escape(each.name), seeds=(2,))
    found = world.verdict(claim.number)
    assert found.verdict == NOT_RUN and not found.findings
    reason = "0 of 3 seeds" if claim.number == 3 else "2 of 3 seeds"
    assert reason in found.sentences[0]


def test_what_was_not_run_comes_with_the_command_that_runs_it(world):
    sentences = world.drop("4S s0=200 m=[23]|trained-slope").verdict(7).sentences
    assert "4S s0=200 m=2 at R = 4 has 0 of 3 seeds" in sentences[0]
    assert (
        "`python -m loupe_companion sweep --profile claims-smoke --methods "
        '"4S s0=200 m=2,4S s0=200 m=3" '
        "--seeds 0,1,2 --out results/claims-smoke.h5`; in parts" in sentences[1]
    )


def test_a_profile_without_the_methods_says_so(world):
    profile = find_profile("smoke", accelerations=[4, 8], slopes=SLOPES)
    _, second, *_, seventh, eighth = judge(RunTable(world.runs.values(), profile))
    assert second.verdict == DOES_NOT_HOLD
    assert seventh.verdict == eighth.verdict == NOT_RUN
    assert eighth.sentences[1].startswith("The profile 'smoke' lacks the methods")


def test_one_slope_or_one_acceleration_is_not_enough(world):
    world.profile = find_profile("claims-smoke", accelerations=[4], slopes=[20], seed=[0, 1, 2])
    found = world.verdict(2)
    assert found.verdict == NOT_RUN and "fixed slopes: 1" in found.sentences[0]
    world.profile = find_profile("claims-smoke", slopes=[20, 2000], seed=[0, 1, 2])
    assert "three fixed slopes; the grid has 2" in world.verdict(2).sentences[0]
    world.profile = find_profile("claims-smoke", accelerations=[4], seed=[0, 1, 2])
    assert world.verdict(5).verdict == NOT_TESTABLE


@pytest.mark.parametrize(("number", "name"), [(2, "s=200"), (7, "4S s0=200 p=4")])
def test_nan_leaves_the_claim_untested(world, number, name):
    world.put(name, r=4, psnr=(math.nan, 33.0, 34.0))
    found = world.verdict(number)
    assert found.verdict == NOT_TESTABLE and "no finite number" in found.sentences[0]


def test_runs_with_a_warning_count_and_both_verdicts_are_given(world, template):
    """A collapse at the highest slope supports claim 2; without it too few seeds are left."""
    world.put("s=20", psnr=30.0).put("s=200", psnr=33.0).put("s=2000", psnr=(10.0, 29.0, 29.0))
    world.put("s=2000", r=4, warnings=lambda key: ("collapsed mask",) * (key[2] == 0))
    found = world.verdict(2)
    assert found.verdict == IN_PART
    assert found.sentences[-1] == (
        "1 run has a warning (R=4 s=2000 seed 0). Without it, fewer than 3 seeds are left."
    )
    more = World(template, seeds=(3, 4, 5, 6))
    more.put("4S", psnr=lambda key: 10.0 if key[2] == 6 else 40.0)
    more.put("4S", warnings=lambda key: ("collapsed mask",) * (key[2] == 6))
    found = more.verdict(3)
    assert found.verdict == UNDECIDED  # one seed 20 dB below
    assert found.sentences[-1].startswith("2 runs have a warning")
    assert found.sentences[-1].endswith("Without them, the verdict is *holds*.")
    assert found.findings[0].seeds == 4


def test_runs_of_other_sizes_are_left_out(world):
    world.put(config=lambda key: dataclasses.replace(world.runs[key].config, size=48))
    assert world.verdict(2).verdict == NOT_RUN


def test_methods_without_a_seed_in_common_cannot_be_paired(later, template):
    others = World(template, seeds=(10, 11, 12)).runs
    later.drop("4S", seeds=(3, 4, 5))
    later.runs |= {key: run for key, run in others.items() if key[0] == "4S"}
    found = later.verdict(3)
    assert found.verdict == NOT_RUN and "seeds in common: 0 of 3" in found.sentences[0]
    assert "share too few seeds" in found.sentences[1]


def test_baselines_are_compared_at_the_exact_budget_seed_by_seed(world):
    world.put("4S", psnr=50.0).put("4S", topk=(31.0, 33.0, 35.0))
    world.put("disc", topk=(30.0, 31.0, 32.0)).put("4S lines", topk=25.0)
    world.put("disc lines", topk=27.0)
    world.put("s=2000", loss=0.001, topk=20.0).put("s=20 lines", loss=0.001, topk=21.0)
    found, missing = baselines(world.table())
    assert missing == []
    by_name = {(b.name, b.finding.acceleration): b for b in found}
    disc = by_name["disc", 4]
    assert disc.finding.values == (1, 2, 3) and disc.rival == "4S"
    assert [*map(exact, disc.other)] == [30, 31, 32]
    lines = by_name["disc lines", 8]
    assert lines.finding.values == (-2, -2, -2) and lines.rival == "4S lines"
    # A schedule and its rival start at the same slope; later seeds are left out.
    assert by_name["exponential", 4].rival == "4S s0=200"
    assert by_name["exponential", 4].finding.values == (0, 0, 0)
    assert by_name["4S released double round", 4].rival == "4S"
    # The grid is tuned by validation.
    assert [*map(exact, by_name["best fixed s", 4].other)] == [20] * 3
    assert [*map(exact, by_name["best fixed s lines", 8].other)] == [21] * 3


def test_a_baseline_that_was_not_run_or_is_not_finite_is_named(world):
    world.drop("tanh").drop("4S lines", seeds=(0,)).put("disc", r=8, topk=(math.nan, 30.0, 30.0))
    found, missing = baselines(world.table())
    assert missing == ["tanh", "best fixed s lines"] + [
        f"{name} lines" for name in ("spectrum", "gaussian", "disc", "uniform")
    ] + ["disc (without a finite PSNR)"]
    assert not any(b.name.endswith("lines") or b.name == "tanh" for b in found)
    assert [b.finding.acceleration for b in found if b.name == "disc"] == [4]


def test_tuning_costs_every_training_of_the_grid(world):
    world.put("s=200", loss=0.01, psnr=35.0).put("4S", loss=0.5, psnr=36.0)
    epochs = len(world.runs["4S", 4, 0].history["loss"])
    grid, shrunk, *other = rows(cost_table(world.table()))
    assert len(other) == 2  # R = 8
    assert grid["slope"] == "best of 3 fixed slopes" and shrunk["slope"] == "4S"
    assert (grid["trainings"], shrunk["trainings"]) == ("3", "1")
    assert (grid["epochs"], shrunk["epochs"]) == (str(3 * epochs), str(epochs))
    assert (grid["PSNR (dB)"], shrunk["PSNR (dB)"]) == ("35.00 ± 0.00", "36.00 ± 0.00")
    kept = sum(world.runs["4S", 4, seed].p_dc > 0.5 for seed in range(3))
    assert (shrunk["n"], shrunk["keeps DC"]) == ("3", f"{kept} of 3")
    assert cost_table(world.drop("4S").table()).startswith("**Not run:** 4S at R = 4")


def test_the_kept_record_is_that_of_the_kept_results():

    def rounded(text: str) -> Any:
        return json.loads(text, parse_float=lambda digits: f"{float(digits):.6g}")

    kept = rounded((ROOT / "results" / FILE).read_text("utf-8"))
    assert kept == rounded(json.dumps(record(kept_verdicts(ROOT / "results"))))
    assert [claim["number"] for claim in kept["claims"]] == list(range(1, 10))
    for claim in kept["claims"]:
        for source in claim["sources"]:
            assert list((ROOT / "results").glob(source)), source
