"""The words under the figures: their numbers from results, and their sentences both ways."""

import dataclasses
import re

import numpy as np
import pytest

from loupe_companion.results import RunResult
from loupe_companion.tables import comparison, conditions, psnr_table, volume_table

pytest_plugins = ["tests.fixtures_runs"]


def rows(table: str) -> list[dict[str, str]]:
    """A Markdown table as a list of rows."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    head, ruler, *body = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    assert len(ruler) == len(head) and all(re.fullmatch(r":?-+:?", cell) for cell in ruler)
    return [dict(zip(head, row, strict=True)) for row in body]


def groups(results: list[RunResult]) -> list[list[RunResult]]:
    """Seeds together, in the order of the profile: slopes, then 4S, at each R."""
    return [results[i : i + 2] for i in range(0, len(results), 2)]


def spread(values, digits: int = 2) -> str:
    if not np.isfinite(values).all():
        low, high = (f"{v:.{digits}f}" for v in (min(values), max(values)))
        return low if low == high else f"{low} to {high}"
    deviation = np.sqrt(np.sum((values - np.mean(values)) ** 2) / (len(values) - 1))
    return f"{np.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def with_psnr(result: RunResult, value: float) -> RunResult:
    psnr = np.full(16, value)
    changed = {mask: found | {"psnr": psnr} for mask, found in result.metrics.items()}
    return dataclasses.replace(result, metrics=changed, warnings=())


def test_the_table_holds_the_numbers_of_the_results(trained):
    table = rows(psnr_table(trained.results))
    assert len(table) == 6
    for row, runs in zip(table, groups(trained.results), strict=True):
        config = runs[0].config
        assert row["R"] == f"{config.acceleration:g}"
        if config.shrinks:
            assert row["slope"] == "4S: 200"
        else:
            assert row["slope"] == f"{config.slope:g}"
        for column, mask in (
            ("PSNR (dB)", "threshold"),
            ("exact budget", "topk"),
            ("soft masks", "relaxed"),
        ):
            assert row[column] == spread([r.metrics[mask]["psnr"].mean() for r in runs])
        zero_filled = [r.metrics["threshold"]["zero_filled_psnr"].mean() for r in runs]
        assert row["zero-filled"] == spread(zero_filled)
        with np.errstate(divide="ignore"):
            achieved = [32 * 32 / np.sum(r.probabilities > 0.5) for r in runs]
        assert row["achieved R"] == spread(achieved)
        undecided = [np.mean((r.probabilities > 0.1) & (r.probabilities < 0.9)) for r in runs]
        assert row["P undecided"] == f"{np.mean(undecided):.1%}"
        assert row["M soft"] == f"{np.mean([r.soft_share for r in runs]):.1%}"


def test_the_table_of_volumes_holds_the_numbers_of_the_results(trained):
    for row, runs in zip(rows(volume_table(trained.results)), groups(trained.results), strict=True):
        found = [r.metrics["threshold"] for r in runs]
        for column, name, digits in (
            ("volume PSNR (dB)", "volume_psnr", 2),
            ("SSIM", "volume_ssim", 3),
            ("NMSE", "volume_nmse", 4),
        ):
            assert row[column] == spread([f[name].mean() for f in found], digits)


def test_one_seed_has_no_spread(trained):
    for row in rows(psnr_table(trained.results[::2])):
        assert "±" not in "".join(row.values())


def test_every_warning_is_shown_with_its_run(trained):
    marked = [
        dataclasses.replace(result, warnings=(f"reason {k}", f"other {k}"))
        for k, result in enumerate(trained.results)
    ]
    text = psnr_table(marked)
    for k, result in enumerate(marked):
        assert f"**Warning**, {result.config.label}: reason {k}\n" in text + "\n"
        assert f"**Warning**, {result.config.label}: other {k}\n" in text + "\n"
    clean = [dataclasses.replace(result, warnings=()) for result in trained.results]
    assert "Warning" not in psnr_table(clean) and "warning" not in comparison(clean)
    clean[0] = marked[0]
    assert "Runs with a warning: 1;" in comparison(clean)


def by_psnr(results: list[RunResult], s200: float, s2000: float, shrunk: float):
    """The runs at R = 4, the mean PSNR of each case given; the second seed 1 dB higher."""
    return [
        with_psnr(result, value + result.config.seed)
        for runs, value in zip(groups(results), (s200, s2000, shrunk), strict=False)
        for result in runs
    ]


@pytest.mark.parametrize(
    ("values", "verdict", "best", "beaten"),
    [
        ((30.0, 20.0, 31.5), "1.50 dB above", 200, 2),
        ((30.0, 20.0, 28.75), "1.25 dB below", 200, 1),
        ((20.0, 30.0, 10.0), "20.00 dB below", 2000, 0),
    ],
)
def test_4s_is_above_or_below_the_best_fixed_slope(values, verdict, best, beaten, trained):
    text = comparison(by_psnr(trained.results, *values))
    assert text.startswith("- **R = 4**: 4S reached ")
    assert f"4S reached {values[2] + 0.5:.2f} ± 0.71 dB" in text
    assert f"s = {best}, reached {max(values[:2]) + 0.5:.2f} ± 0.71 dB" in text
    assert f"the worst {min(values[:2]) + 0.5:.2f} dB" in text
    assert f"4S is {verdict} the best" in text
    assert "standard deviation of the 2 paired differences 0.00 dB" in text
    assert f"above {beaten} of the 2." in text
    assert "took 4 trainings, 4S 2." in text


def test_differences_are_paired_by_seed(trained):
    results = by_psnr(trained.results, 20.0, 10.0, 22.0)
    results[4] = with_psnr(results[4], 23.0)  # 4S, seed 0: 3 dB above; seed 1: 2 dB
    text = comparison(results[::-1])
    assert "4S is 2.50 dB above the best" in text
    assert "2 paired differences 0.71 dB" in text


def test_one_seed_proves_nothing(trained):
    text = comparison(by_psnr(trained.results, 20.0, 10.0, 22.0)[::2])
    assert "2.00 dB above the best (one seed: no statement about which is better)" in text


def test_a_run_that_is_no_number_is_the_worst(trained):
    text = comparison(by_psnr(trained.results, np.nan, 10.0, 22.0))
    assert "s = 2000, reached 10.50 ± 0.71 dB; the worst nan dB" in text
    assert "above 2 of the 2." in text


def test_4s_alone_is_compared_with_nothing(trained):
    shrunk = [result for result in trained.results if result.config.shrinks]
    first, second = comparison(shrunk).splitlines()
    assert re.fullmatch(r"- \*\*R = 4\*\*: 4S reached \S+ ± \S+ dB and returned s = 200\.", first)
    assert second.startswith("- **R = 8**")


def test_the_slopes_that_4s_returned_are_told_from_the_lowest_to_the_highest(trained):
    shrunk = [
        dataclasses.replace(result, slope=slope)
        for result, slope in zip(trained.results[4:6], (1012.5, 450.0), strict=True)
    ]
    assert "returned s = 450 to 1012." in comparison(shrunk)
    assert rows(psnr_table(shrunk))[0]["slope"] == "4S: 450 to 1012"


def test_conditions_tell_how_the_runs_were_made(trained):
    text = conditions(trained.results)
    assert text.startswith("*12 runs: N = 32, U-Net width 4, 64 / 16 / 16 slices of virtual")
    assert "3 epochs, batch 8; seeds 0, 1." in text
    provenance = trained.results[0].provenance
    assert provenance["device"] in text and provenance["code"] in text
    assert provenance["date"][:10] in text
    seconds = sum(sum(result.history["seconds"]) for result in trained.results)
    assert f"in {seconds / 60:.1f} minutes of training" in text
    assert "; seed 0." in conditions(trained.results[::2])
