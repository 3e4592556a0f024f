"""The tables and sentences under the figures: their numbers from results, every wording."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from loupe_companion.figures.fig2 import soft_readings, soft_table, step_table
from loupe_companion.figures.fig3 import difference, psnr_table, volume_table
from loupe_companion.figures.fig4 import groups_shown, mask_table, undecided_slopes
from loupe_companion.results import RunResult
from loupe_companion.symmetry import pair_fractions
from loupe_companion.tables import conditions, dc_kept, left_out, markdown, t_interval, warning_list
from tests.common import sigmoid, with_psnr
from tests.loupe_companion.claims.conftest import rows


def test_markdown_keeps_every_cell_as_it_is():
    cells = {
        "method": ["1. s=20", "2. 4S"],
        "dB": ["36.10 ± 0.50", "nan"],
        "R": ["4.0", "7.36 to inf"],
    }
    text = markdown(pd.DataFrame(cells))
    assert pd.DataFrame(rows(text)).to_dict("list") == cells
    ruler = text.splitlines()[1].strip("|").split("|")
    assert [cell.endswith(":") for cell in ruler] == [False, True, True]  # numbers flush right


def spread(values, digits: int = 2) -> str:
    if not np.isfinite(values).all():
        low, high = (f"{v:.{digits}f}" for v in (min(values), max(values)))
        return low if low == high else f"{low} to {high}"
    deviation = np.sqrt(np.sum((values - np.mean(values)) ** 2) / (len(values) - 1))
    return f"{np.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def test_the_tables_hold_the_numbers_of_the_results(trained):
    # The order of the profile: at each R the slopes, then 4S, two seeds each.
    groups = [trained.results[i : i + 2] for i in range(0, 12, 2)]
    tables = [
        table(trained.results).to_dict("records")
        for table in (psnr_table, volume_table, mask_table)
    ]
    for row, volumes, masks, runs in zip(*tables, groups, strict=True):
        config, found = runs[0].config, [r.metrics["threshold"] for r in runs]
        returned = sorted({round(run.slope) for run in runs})
        method = (
            f"4S: {' to '.join(map(str, returned))}" if config.shrinks else f"s={config.slope:g}"
        )
        with np.errstate(divide="ignore"):
            achieved = [32 * 32 / np.sum(r.probabilities > 0.5) for r in runs]
        undecided = [np.mean((r.probabilities > 0.1) & (r.probabilities < 0.9)) for r in runs]
        assert row == {
            "R": f"{config.acceleration:g}",
            "method": method,
            "PSNR (dB)": spread([f["psnr"].mean() for f in found]),
            "achieved R": spread(achieved),
            "P(DC)": ", ".join(f"{r.probabilities[16, 16]:.2f}" for r in runs),
            "exact budget (dB)": spread([r.metrics["topk"]["psnr"].mean() for r in runs]),
            "relaxed masks (dB)": spread([r.metrics["relaxed"]["psnr"].mean() for r in runs]),
            "zero-filled (dB)": spread([f["zero_filled_psnr"].mean() for f in found]),
        }
        pairs = [pair_fractions(r.probabilities) for r in runs]
        assert masks == {name: row[name] for name in ("R", "method", "achieved R", "P(DC)")} | {
            "P between 0.1 and 0.9": f"{np.mean(undecided):.1%}",
            "one of a pair (%)": spread([100 * pair.one for pair in pairs], 1),
            "by chance (%)": spread([100 * pair.one_by_chance for pair in pairs], 1),
            "both (%)": spread([100 * pair.both for pair in pairs], 1),
        }
        assert volumes == {
            "R": row["R"],
            "method": method,
            "volume PSNR (dB)": spread([f["volume_psnr"].mean() for f in found]),
            "SSIM": spread([f["volume_ssim"].mean() for f in found], 3),
            "NMSE": spread([f["volume_nmse"].mean() for f in found], 4),
        }


def test_the_step_at_one_half_follows_from_probabilities_and_slope(kept_results):
    table = step_table(kept_results)
    # At low slopes many entries are counted on both sides of 1/2.
    low = table[table["method"].isin(["s=20", "s=200"])]
    steps = low[["step at ½", "step from P"]].astype(float).to_numpy()
    np.testing.assert_allclose(steps[:, 0], steps[:, 1], atol=0.02)
    assert steps.min() < 0.25 and steps.max() > 0.9


def test_the_average_of_many_draws_is_told_beside_single_masks(trained):
    row, step = (table(trained.results).to_dict("records")[0] for table in (soft_table, step_table))
    runs = trained.results[:2]
    u = (np.arange(2000) + 0.5) / 2000
    means = [sigmoid(200 * (r.probabilities[..., None] - u)).mean(-1) for r in runs]
    soft = np.mean([(mean > 0.05) & (mean < 0.95) for mean in means])
    assert float(row["entries of the average"].strip("%")) == pytest.approx(100 * soft, abs=0.2)
    assert row["entries of M"] == f"{np.mean([r.soft_share for r in runs]):.1%}"
    assert step["P below 0.1/s"] == f"{np.mean([r.probabilities < 0.0005 for r in runs]):.1%}"
    first = soft_readings(trained.results).splitlines()[0]
    single, average = row["entries of M"], row["entries of the average"]
    start = "- **R = 4**: entries of single masks between 0.05 and 0.95: "
    assert first.startswith(f"{start}{single} (s=200), ")
    assert f"entries of the average: {average} (s=200), " in first


def with_shares(results: list[RunResult], *shares: float) -> list[RunResult]:
    """The first runs, with other fractions of the entries of P between 0.1 and 0.9."""
    runs = zip(results, shares, strict=False)
    return [dataclasses.replace(run, undecided_share=share) for run, share in runs]


OPPOSITE = "Here the high slope leaves more of them, the opposite of the paper's Fig. 4."
AS_IN_PAPER = "As in the paper, the low slope leaves more of them than the high one."
TESTED = "[Claim 1](#claim-1) tests this."
NOT_CERTAIN = "With 2 seeds this is not certain: see [claim 1](#claim-1)."


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.25, 0.25, 0.5, 0.5), f"{OPPOSITE} {TESTED}"),
        ((0.25, 0.25, 0.75, 0.25), f"{OPPOSITE} {NOT_CERTAIN}"),
        ((0.5, 0.5, 0.25, 0.25), f"{AS_IN_PAPER} {TESTED}"),
        ((0.75, 0.25, 0.25, 0.25), f"{AS_IN_PAPER} {NOT_CERTAIN}"),
        ((0.5, 0.5, 0.5, 0.5), "The low and the high slope leave equally many of them."),
    ],
)
def test_probabilities_far_from_0_and_1_are_set_against_the_paper(shares, said, trained):
    found = undecided_slopes(with_shares(trained.results, *shares, 0.125, 0.125))
    low, high = np.mean(shares[:2]), np.mean(shares[2:])
    assert found == (
        "- **R = 4**: entries of $P$ between 0.1 and 0.9: "
        f"{low:.1%} (s=200), {high:.1%} (s=2000) and 12.5% (4S). {said}"
    )


def test_one_seed_is_never_certain_and_4s_alone_is_compared_with_nothing(trained):
    results = with_shares(trained.results, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125)
    assert "With 1 seed this is not certain" in undecided_slopes(results[::2])
    text = "- **R = 4**: entries of $P$ between 0.1 and 0.9: 12.5% (4S)."
    assert undecided_slopes(results[4:]) == text


def test_the_t_interval_is_that_of_the_textbook():
    # Student's own data (1908): extra hours of sleep, drug 2 minus drug 1, and the interval that
    # R's t.test prints for it.
    hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    assert t_interval(hours) == pytest.approx((0.7001142, 2.4598858), abs=1e-7)
    # As RULES say, three seeds reach 2.5 standard deviations to either side.
    assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((-0.5, 4.5), abs=0.02)
    assert t_interval([0.25, 0.25]) == (0.25, 0.25)


def test_runs_whose_mask_keeps_dc_are_counted(trained):
    def with_dc(run, value):
        p = run.probabilities.copy()
        p[16, 16] = value
        return dataclasses.replace(run, probabilities=p)

    results = [with_dc(run, 0.25 + 0.5 * run.config.seed) for run in trained.results]
    results[0] = with_dc(results[0], 0.75)
    assert dc_kept(results[::-1]) == (
        "The mask keeps the zero frequency, P(DC) > 0.5, in 4 of 6 runs at R = 4 "
        "and in 3 of 6 runs at R = 8."
    )


def test_one_seed_has_no_spread(trained):
    assert "±" not in markdown(psnr_table(trained.results[::2]))


def test_every_warning_is_shown_with_its_run(trained):
    clean = [dataclasses.replace(result, warnings=()) for result in trained.results]
    assert warning_list(clean) == ""
    marked = dataclasses.replace(clean[1], warnings=("reason", "other"))
    text = "- **Warning**, R=4 s=200 seed 1: "
    assert warning_list([clean[0], marked, *clean[2:]]) == f"{text}reason\n{text}other"


def by_psnr(results: list[RunResult], s200: float, s2000: float, shrunk: float):
    """The runs at R = 4, the mean PSNR of each method given; the second seed 1 dB higher."""
    values = np.repeat([s200, s2000, shrunk], 2)
    return [with_psnr(r, v + r.config.seed) for r, v in zip(results[:6], values, strict=True)]


@pytest.mark.parametrize(
    ("values", "verdict", "best"),
    [
        ((30.0, 20.0, 31.5), "1.50 dB above", 200),
        ((30.0, 20.0, 28.75), "1.25 dB below", 200),
        ((20.0, 30.0, 10.0), "20.00 dB below", 2000),
        ((np.nan, 10.0, 22.0), "12.00 dB above", 2000),  # no number is the worst
    ],
)
def test_4s_is_above_or_below_the_best_fixed_slope(values, verdict, best, trained):
    gap = ("+" if "above" in verdict else "-") + verdict.split()[0]
    assert difference(by_psnr(trained.results, *values)) == (
        f"At R = 4, 4S is {verdict} the best of 2 fixed slopes, s = {best} "
        f"(mean difference {gap} dB, 95% t interval [{gap}, {gap}], n = 2 seeds)."
    )


def test_differences_are_paired_by_seed(trained):
    results = by_psnr(trained.results, 20.0, 10.0, 22.0)
    results[4] = with_psnr(results[4], 23.0)  # 4S, seed 0: 3 dB above; seed 1: 2 dB
    text = difference(results[::-1])
    assert "4S is 2.50 dB above the best" in text
    assert "95% t interval [-3.85, +8.85], n = 2 seeds" in text  # 12.71 times 0.5


def test_one_seed_gives_no_spread(trained):
    text = difference(by_psnr(trained.results, 20.0, 10.0, 22.0)[::2])
    assert text.endswith("s = 200 (one seed: no interval).")


@pytest.mark.parametrize("shrinks", [True, False])
def test_4s_or_fixed_slopes_alone_are_compared_with_nothing(shrinks, trained):
    assert difference([run for run in trained.results if run.config.shrinks == shrinks]) == ""


def test_other_methods_are_in_the_table_but_not_in_the_comparison(trained, kept_results):
    assert "4S is 0.16 dB below the best of 6 fixed slopes" in difference(kept_results)
    table = {(row["R"], row["method"]): row for row in psnr_table(kept_results).to_dict("records")}
    assert table["4", "s=200"]["PSNR (dB)"] == "36.43 ± 0.98"
    assert table["4", "4S: 228 to 513"]["PSNR (dB)"] == "36.28 ± 0.65"
    assert table["4", "4S s0=200: 3417 to 25949"]["PSNR (dB)"] == "36.06 ± 1.27"
    assert table["4", "tanh: 7 to 10"]["PSNR (dB)"] == "38.10 ± 0.19"
    rows = groups_shown(kept_results)
    named = re.search("leaves out (.*) [(]s0: ", left_out(kept_results, rows))[1].split(", ")
    assert left_out(trained.results, groups_shown(trained.results)) == ""
    assert len(named) == 22 and {"tanh", "disc", "4S s0=1", "s=5000", "s=10000"} < set(named)


def test_conditions_say_how_the_runs_were_trained(trained):
    text = conditions(trained.results)
    device = trained.results[0].provenance["device"]
    seconds = sum(sum(result.history["seconds"]) for result in trained.results)
    assert text == (
        "*12 runs (seeds 0, 1): N = 32, U-Net width 4, 64 / 16 / 16 training / validation / test "
        "slices of virtual subjects from the embedded heads, 3 epochs. "
        f"Trained on {device}; all runs together: {seconds / 60:.1f} minutes. "
        "±: standard deviation over seeds.*"
    )
    assert "±" not in conditions(trained.results[::2])
    assert conditions(trained.results[:1]).startswith("*1 run (seed 0): N = 32")
