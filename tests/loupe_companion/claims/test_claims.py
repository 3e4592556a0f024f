"""Every claim's test, on results made so that each verdict must come out, and on real runs."""

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest

from loupe_companion.claims import adapted_masks, settings, trained_slope
from loupe_companion.claims.baselines import baselines
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
from loupe_companion.sources import load_images
from loupe_companion.sweep import collected_results
from tests.common import dft2, uncentre
from tests.conftest import ROOT
from tests.loupe_companion.claims.conftest import SLOPES, World, rows

Values = dict[str, dict[str, Any]]


def plus(*gains: float) -> dict[str, tuple[float, ...]]:
    """PSNR that differs by seed, as all runs have it at first, plus a gain for each seed."""
    return {"psnr": tuple(np.add((30.0, 31.0, 32.0), gains))}


def slopes(*levels: float) -> Values:
    """Mean PSNR at each fixed slope."""
    return {f"s={s}": plus(*[level - 30] * 3) for s, level in zip(SLOPES, levels, strict=True)}


def soft(m_low: float, m_high: float, p_low: float, p_high: float) -> Values:
    """Fractions of soft entries of M and P at the lowest and the highest slope."""
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
        (1, soft(0.2, 1e-4, 0.5, 0.1), HOLDS, "50.0 % and 10.0 % are undecided"),
        (1, soft(0.2, 1e-4, 0.1, 0.5), IN_PART, "10.0 % and 50.0 % are undecided"),
        (1, soft(0.05, 0.05, 0.1, 0.5), DOES_NOT_HOLD, "5.0 % of the entries of M are soft at s ="),
        (1, soft(0.2, 0.05, 0.1, 0.5), IN_PART, "and 5.00 % at s = 2000"),
        (2, slopes(30, 33, 25), HOLDS, "best fixed slope is s = 200: 3.00 dB above"),
        (2, slopes(33, 30, 25), IN_PART, "is s = 20: 0.00 dB above the lowest (refuted)"),
        (2, slopes(25, 30, 33), IN_PART, "s = 2000: 8.00 dB above the lowest (shown), 0.00 dB ab"),
        (2, slopes(30, 30, 30), DOES_NOT_HOLD, "s = 20: 0.00 dB above the lowest (refuted)"),
        (3, {"4S": plus(0, 0, 0)}, HOLDS, "4S is 0.00 dB below s = 20"),
        (3, {"4S": plus(-0.4, -0.4, -0.4)}, HOLDS, "0.40 dB below"),  # within the margin
        (3, {"4S": plus(-0.6, -0.6, -0.6)}, DOES_NOT_HOLD, "margin of 0.5 dB: refuted"),
        (3, {"4S": plus(-5, 0, 5)}, UNDECIDED, "margin of 0.5 dB: undecided"),  # 12.4 either way
        # All seeds differ by 20 dB, and 4S from the best slope by nothing.
        (3, {"4S|s=.*": {"psnr": (10.0, 30.0, 50.0)}}, HOLDS, "0.00 dB below"),
        (6, relaxed(33.0, 30.0), HOLDS, "costs 3.00 dB at s = 20"),
        (6, relaxed(33.0, 29.0, kept=1.05), HOLDS, "-1.00 dB under"),  # thresholding may gain
        (6, relaxed(30.5, 30.0), IN_PART, "costs 0.50 dB"),
        (6, relaxed(30.5, 31.0, kept=0), DOES_NOT_HOLD, "keeps 0.00"),  # an empty mask
        (6, relaxed(33.0, 31.0, kept=1.2), IN_PART, "keeps 1.20"),
        (8, trained(200, 50, 0.4), HOLDS, "after the last 0.4, 0.4, 0.4 ("),
        (8, trained(200, 150, 100), IN_PART, "after the first epoch is 200"),
        (8, trained(200, 200, 200), DOES_NOT_HOLD, "last 200, 200, 200 ("),
        (8, trained(200, 210, 230), DOES_NOT_HOLD, "last 230, 230, 230 ("),
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


def test_what_is_undecided_says_which_way_it_leans(world):
    world.put("4S", **plus(-10, -5, 0))
    # 5 dB of spread, 4.5 dB from the margin: t of 7 degrees of freedom, 2.365 * 5 / sqrt(8) = 4.2
    assert world.verdict(3).sentences[0] == (
        "Comparisons that count for the verdict: 2 undecided (2 of them with a mean that "
        "contradicts the claim). With the same means and standard deviations, 8 seeds decide them "
        "all."
    )
    world.put("4S", r=4, **plus(10, 5, 0))
    assert "2 undecided (1 of them with" in world.verdict(3).sentences[0]
    assert world.verdict(2).sentences[0] == "Comparisons that count for the verdict: 4 refuted."


def test_claim_3_may_hold_at_one_acceleration_alone(world):
    found = world.put("4S", r=8, psnr=20.0).verdict(3)
    assert found.verdict == IN_PART
    assert outcomes(found, "4S minus best fixed s by validation") == [SHOWN, REFUTED]


def test_claim_3_tunes_by_validation_and_shows_the_choice_by_test_beside(world):
    world.put("s=20", loss=0.1, psnr=28.0).put("s=2000", loss=0.2, psnr=36.0)
    found = world.put("4S", psnr=28.0).verdict(3)
    assert found.verdict == HOLDS
    by_test = [f for f in found.findings if f.part == "4S minus best fixed s by test (dB)"]
    assert [(f.detail, f.mean, f.decides) for f in by_test] == [("s = 2000", -8, False)] * 2


def test_claim_3_shows_the_released_reading_and_lower_starts_without_a_vote(world):
    world.put("4S released|4S s0=.*", psnr=10.0).put("4S released", r=8, psnr=(math.nan, 3.0, 3.0))
    found = world.verdict(3)
    assert found.verdict == HOLDS
    beside = {}
    for finding in found.findings:
        if not finding.part.startswith("4S minus"):
            assert not finding.decides and finding.outcome == REFUTED
            beside.setdefault(finding.part, []).append(finding.acceleration)
    assert beside == {
        "4S released minus best fixed s by validation (dB)": [4],
        "4S released minus best fixed s by test (dB)": [4],
        "4S s0=1 minus best fixed s by validation (dB)": [4, 8],
        "4S s0=20 minus best fixed s by validation (dB)": [4, 8],
    }
    said = " ".join(found.sentences)
    assert "At R = 8 4S released is not compared by test: 4S released minus" in said
    assert world.drop("4S released", seeds=(1,)).verdict(3).verdict == HOLDS


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
def test_claim_4_asks_for_binary_and_adapted_masks(world, images, shape, make, verdict, parts):
    rng = np.random.default_rng(0)
    world.put("s=2000", probabilities=lambda key: rng.random(shape.shape, np.float32))
    world.put("4S", probabilities=lambda key: make(shape, key[1]).astype(np.float32))
    found = world.verdict(4, images)
    assert found.verdict == verdict
    assert outcomes(found) == parts * 2


def test_energy_and_correlation_are_those_of_the_definitions(world, shape):
    run = world.runs["4S", 4, 0]
    p = run.probabilities
    energy = shape[top(p, 4) == 1].sum() / shape.sum()
    assert adapted_masks.energy_fraction(run, shape) == pytest.approx(energy)
    expected = np.corrcoef(ranks(p).ravel(), ranks(shape).ravel())[0, 1]
    assert adapted_masks.spectrum_correlation(run, shape) == pytest.approx(expected, abs=1e-4)
    assert adapted_masks.random_fraction(run, np.ones_like(shape)) == pytest.approx(0.25)
    distance = 4 * np.mean(abs(p - np.where(p > 0.5, 1, 0)))
    assert adapted_masks.distance_from_binary(run) == pytest.approx(distance)


def test_claim_4_needs_the_images(world):
    found = world.verdict(4)
    assert found.verdict == NOT_TESTABLE and "images" in found.sentences[0]


@pytest.mark.parametrize(
    ("slopes", "verdict"),
    [
        ((1000.0, 1100.0, 1200.0), HOLDS),
        ((200.0, 200.0, 200.0), DOES_NOT_HOLD),  # the same slope at both
        ((210.0, 190.0, 200.0), DOES_NOT_HOLD),  # less than one raise apart
        ((20.0, 200.0, 2000.0), UNDECIDED),
    ],
)
def test_claim_5_compares_the_slopes_that_were_returned(world, slopes, verdict):
    found = world.put("4S", r=4, slope=slopes).verdict(5)
    assert found.verdict == verdict
    geometric = math.exp(np.mean(np.log(slopes))) / 200
    assert f"(geometric mean over seeds) is {geometric:.3g}, with" in found.sentences[-1]


def test_claim_7_sets_the_spread_over_settings_against_that_over_seeds(world):
    assert world.verdict(7).verdict == HOLDS  # settings change nothing, seeds do
    world.put("4S m=.*", psnr=lambda key: {"1.2": 10, "2": 20, "3": 40}[key[0][5:]] + 0.1 * key[2])
    found = world.verdict(7)
    assert found.verdict == IN_PART
    assert outcomes(found, "(m) ") == [REFUTED] * 2
    assert outcomes(found, "(p) ") == [SHOWN] * 2
    world.put("4S (p|s0)=.*", psnr=lambda key: 20 * len(key[0]) + float(key[0][-1]))
    assert world.verdict(7).verdict == DOES_NOT_HOLD


def test_claim_7_is_undecided_where_chance_could_do_it(world):
    # Settings a little further apart than seeds, in another order with each seed.
    noise = {"4S": (30, 28, 29), "4S p=4": (28, 30, 29), "4S p=16": (32, 30, 31)}
    noise["4S p=40"] = (30, 32, 31)
    for method, psnr in noise.items():
        world.put(method, psnr=psnr)
    ratio, probability = settings.spread(np.array(list(noise.values()), float))
    assert ratio == pytest.approx(math.sqrt(4 / 3)) and probability > settings.LEVEL
    assert outcomes(world.verdict(7), "(p) ") == [UNDECIDED] * 2


def test_the_f_test_compares_two_linear_models():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(4, 3)) + np.arange(4)[:, None]
    setting, seed = (index.ravel() for index in np.indices(values.shape))

    def residual(*factors: np.ndarray) -> float:
        design = np.hstack([np.eye(factor.max() + 1)[factor] for factor in factors])
        fit = design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
        return float(np.square(values.ravel() - fit).sum())

    both, seeds_alone = residual(setting, seed), residual(seed)
    f = ((seeds_alone - both) / 3) / (both / 6)
    # The tail of F by drawing it, as ratios of mean squares of normal numbers.
    draws = rng.normal(size=(9, 400_000))
    drawn = np.square(draws[:3]).mean(0) / np.square(draws[3:]).mean(0)
    ratio, probability = settings.spread(values)
    assert probability == pytest.approx((drawn > f).mean(), abs=2e-3)
    within = np.sqrt(np.mean([np.var(row, ddof=1) for row in values]))
    assert ratio == pytest.approx(np.std(values.mean(1), ddof=1) / within)


def test_settings_that_agree_to_the_last_digit_do_not_divide_by_nothing():
    assert settings.spread(np.array([[1.0, 2.0, 3.0]] * 4)) == (0, 1)
    assert settings.spread(np.array([[1.0] * 3, [2.0] * 3])) == (math.inf, 0)


def test_near_one_half_is_between_a_quarter_and_three_quarters():
    p, u = np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 101))
    m = 1 / (1 + np.exp(-trained_slope.GONE * (p - u)))
    assert m.min() == pytest.approx(0.25) and m.max() == pytest.approx(0.75)
    # 50 bins of 0.02: those from 0.26 to 0.74
    assert trained_slope.near_half(np.arange(50.0)) == sum(range(13, 37))


@pytest.mark.parametrize("claim", TESTS, ids=lambda claim: claim.number)
def test_fewer_than_three_seeds_are_no_test(world, images, claim):
    for method in world.table().methods(*claim.families):
        world.drop(re.escape(method.name), seeds=(2,))
    found = world.verdict(claim.number, images)
    assert found.verdict == NOT_RUN and not found.findings
    assert "2 of 3 seeds" in found.sentences[0]


def test_what_was_not_run_comes_with_the_command_that_runs_it(world):
    sentences = world.drop("4S m=2|4S m=3|trained-slope").verdict(7).sentences
    assert "4S m=2 at R = 4 has 0 of 3 seeds" in sentences[0]
    assert (
        '`python -m loupe_companion sweep --profile claims-smoke --methods "4S m=2,4S m=3" '
        "--seeds 0,1,2 --out results/claims-smoke.h5`; in parts" in sentences[1]
    )


def test_a_profile_without_the_methods_says_so(world):
    profile = find_profile("smoke", accelerations=[4, 8], slopes=SLOPES)
    _, _, third, *_, seventh, eighth = judge(RunTable(world.runs.values(), profile))
    assert third.verdict == HOLDS
    assert seventh.verdict == eighth.verdict == NOT_RUN
    assert eighth.sentences[1].startswith("The profile 'smoke' lacks the methods")


def test_one_slope_or_one_acceleration_is_not_enough(world):
    world.profile = find_profile("claims-smoke", accelerations=[4], slopes=[20], seed=[0, 1, 2])
    found = world.verdict(2)
    assert found.verdict == NOT_RUN and "fixed slopes: 1" in found.sentences[0]
    assert world.verdict(5).verdict == NOT_TESTABLE


def test_nan_leaves_the_claim_untested(world):
    world.put("s=200", psnr=(35.0, 33.0, 34.0), loss=0.01)
    world.put("s=200", r=4, psnr=(math.nan, 33.0, 34.0))
    # By test it cannot be the best; by validation it is.
    assert "At R = 4 the best fixed slope is s = 20:" in " ".join(world.verdict(2).sentences)
    found = world.verdict(3)
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
    more = World(template, seeds=(0, 1, 2, 3))
    more.put("4S", psnr=lambda key: 10.0 if key[2] == 3 else 30.0 + key[2])
    more.put("4S", warnings=lambda key: ("collapsed mask",) * (key[2] == 3))
    found = more.verdict(3)
    assert found.verdict == UNDECIDED  # one seed 23 dB below
    assert found.sentences[-1].startswith("2 runs have a warning")
    assert found.sentences[-1].endswith("Without them, the verdict is *holds*.")
    assert found.findings[0].seeds == 4


def test_runs_of_other_sizes_are_left_out(world):
    world.put(config=lambda key: dataclasses.replace(world.runs[key].config, size=48))
    assert world.verdict(3).verdict == NOT_RUN


def test_methods_without_a_seed_in_common_cannot_be_paired(world, template):
    others = World(template, seeds=(10, 11, 12)).runs
    world.drop("4S").runs |= {key: run for key, run in others.items() if key[0] == "4S"}
    found = world.verdict(3)
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
    assert disc.finding.values == (1, 2, 3) and disc.psnr == [30, 31, 32] and not disc.lines
    lines = by_name["disc lines", 8]
    assert lines.finding.values == (-2, -2, -2) and lines.own == [25] * 3 and lines.lines
    # The grid is tuned by validation.
    assert by_name["s fixed by a grid", 4].psnr == [20] * 3
    assert by_name["s fixed by a grid lines", 8].psnr == [21] * 3


def test_a_baseline_that_was_not_run_or_is_not_finite_is_named(world):
    world.drop("tanh").drop("4S lines", seeds=(0,)).put("disc", r=8, topk=(math.nan, 30.0, 30.0))
    found, missing = baselines(world.table())
    assert missing == ["tanh", "s fixed by a grid lines"] + [
        f"{name} lines" for name in ("spectrum", "gaussian", "disc", "uniform")
    ] + ["disc (without a finite PSNR)"]
    assert not any(b.lines or b.name == "tanh" for b in found)
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
    assert cost_table(world.drop("4S").table()).startswith("**Not run:** 4S at R = 4")


KEPT = {
    1: (IN_PART, [16.6193, 0.0119, -65.8285]),
    2: (IN_PART, [0.0, 12.2791]),
    3: (DOES_NOT_HOLD, [-2.0081]),
    4: (IN_PART, [33.2482, 54.5331, 0.4463]),
    5: (NOT_TESTABLE, []),
    6: (UNDECIDED, [0.5542, 0.0898, 0.8226]),
    7: (DOES_NOT_HOLD, [1.6261, 1.727, 3.1091]),
    8: (IN_PART, [-197.0508, 0.7549]),
}


def test_kept_results_give_the_verdicts_of_the_page():
    profile = find_profile("claims-small")
    results = collected_results(ROOT / "results" / "claims-small.h5")
    found = judge(RunTable(results, profile, load_images(profile.configs()[0])))
    for verdict in found:
        expected, means = KEPT[verdict.claim.number]
        assert verdict.verdict == expected
        counted = [finding.mean for finding in verdict.findings if finding.decides]
        assert counted == pytest.approx(means, abs=1e-4)
