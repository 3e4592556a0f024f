"""The page of the claims: its tables, sentences and figures, and the order they stand in."""

import json
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from loupe_companion.claims import against_best, figures, page
from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import NOT_RUN, number
from loupe_companion.claims.tables import (
    baseline_headline,
    baseline_table,
    outcome,
    start_table,
    verdict_table,
)
from loupe_companion.claims.verdicts import TESTS, judge, judge_beyond
from loupe_companion.profiles import find_profile
from loupe_companion.results import read_results
from loupe_lib.errors import InputError
from tests.common import ROOT, draw
from tests.loupe_companion.claims.conftest import World, rows

MEAN = "one comparison behind the verdict: mean [95% interval]"
SPACE = "\N{NO-BREAK SPACE}"
PAGES = {
    name: json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8"))["cells"]
    for name in ("claims", "claims64")
}


def spaced(row: dict[str, str]) -> dict[str, str]:
    """A row with plain spaces."""
    return {name: cell.replace(SPACE, " ") for name, cell in row.items()}


def test_the_table_has_a_row_for_each_claim_with_a_comparison_that_led_to_its_verdict(
    later,
):
    later.put("4S", psnr=(28.0, 30.0, 35.5))
    verdicts = judge(later.table())
    table = [spaced(row) for row in rows(verdict_table(verdicts))]
    for row, verdict in zip(table, verdicts, strict=True):
        number = verdict.claim.number
        assert row["claim"] == f"[{number}. {verdict.claim.title}](#claim-{number})"
        assert row["verdict"] == spaced({"": f"**{verdict.label}**"})[""]
    # 4S minus fixed, by seed: -2, -1, 3.5
    assert table[2][MEAN] == (
        "(1) at most 0.3 dB worse: 4S minus best fixed s, N = 32, R = 4:<br>"
        "0.167 dB [-7.11, 7.44], n = 3; required: above -0.3"
    )
    assert table[4][MEAN] == "ln s at R = 4 minus ln s at R = 8:<br>0 [0, 0], n = 3"
    later.put("4S", r=8, psnr=20.0)  # which decides: one of four is refuted
    later.put("4S", r=4, psnr=50.0)
    row = spaced(rows(verdict_table([later.verdict(3)]))[0])
    assert row["verdict"] == "**holds in part (2 of 4)**" and "R = 4:<br>19 dB" in row[MEAN]
    row = spaced(rows(verdict_table([later.put("4S", r=4, psnr=20.0).verdict(3)]))[0])
    assert row["verdict"] == "**does not hold here**" and "-11 dB" in row[MEAN]


def test_a_claim_that_was_not_run_has_no_numbers_and_no_figure(world, monkeypatch):
    shown: list[Any] = []
    monkeypatch.setattr(page, "display", shown.append)
    empty = world.drop(".*").table()
    verdicts = judge(empty)
    for verdict, row in zip(verdicts, rows(verdict_table(verdicts)), strict=True):
        assert row["verdict"] == f"**{NOT_RUN}**"
        assert not row[MEAN]
        page.show_claim(verdict, empty)
    assert not [item for item in shown if isinstance(item, Figure)]
    assert figures.baselines_figure(empty) is None


def test_every_comparison_has_a_row_and_is_drawn_with_its_seeds_interval_and_region(later):
    later.put("4S", psnr=(28.0, 30.0, 35.5)).put("4S s0=1", psnr=10.0)
    found = later.verdict(3)
    text = outcome(found)
    for row, finding in zip(rows(text), found.findings, strict=True):
        low, high = finding.interval
        assert spaced(row) == {
            "comparison": f"{finding.part}, {finding.detail}",
            "R": f"{finding.acceleration:g}",
            "n": "3",
            "unit": "dB",
            "mean ± SD": f"{number(finding.mean)} ± {number(finding.deviation, 2)}",
            "95% interval": f"{number(low)} to {number(high)}",
            "outcome": finding.outcome if finding.decides else f"({finding.outcome})",
        }
    assert f"**Verdict: {found.label}.**" in text
    for sentence in found.sentences:
        assert f"- {sentence}" in text

    figure = draw(figures.findings_figure(found))
    counted = list(dict.fromkeys(finding.part for finding in found.counted))
    titles = [*counted, "not counted"]
    assert [ax.get_title("right") for ax in figure.axes] == [f"{title} (dB)" for title in titles]
    for ax, title in zip(figure.axes, titles, strict=True):
        here = [f for f in found.findings if title == (f.part if f.decides else "not counted")]
        assert here
        for y, finding in enumerate(here):
            interval, seeds, mean = ax.lines[3 * y : 3 * y + 3]
            assert tuple(interval.get_xdata()) == finding.interval
            assert tuple(seeds.get_xdata()) == finding.values
            assert mean.get_xdata()[0] == finding.mean and mean.get_ydata()[0] == y
            assert (mean.get_markerfacecolor() == "white") != finding.decides
            named = finding.part in ax.get_yticklabels()[y].get_text()
            assert named != finding.decides  # whose part is the title
        (shaded,) = ax.patches
        low, high = ax.get_xlim()
        bound = 0 if title.startswith("(2)") else -against_best.MARGIN
        assert shaded.get_x() == pytest.approx(np.clip(bound, low, high))
        assert shaded.get_x() + shaded.get_width() == pytest.approx(high)


def test_baselines_say_which_mask_is_better_and_what_was_not_run(world):
    world.put("4S", topk=33.0).put("disc", topk=(30.0, 30.5, 31.0)).put("uniform", topk=40.0)
    world.put("gaussian", topk=(20.0, 33.0, 46.0)).drop("tanh")
    world.put("disc", r=4, warnings=("", "", ("collapsed mask",)))
    text = baseline_table(world.table())
    listed = rows(text)
    table = {(row["R"], row["mask"]): row for row in listed}
    disc = table["4", "disc (1 with a warning)"]
    assert disc["PSNR (dB)"] == "30.50 ± 0.50" and disc["4S minus this mask (dB)"] == "2.5"
    assert table["8", "disc"]["outcome"] == "worse than 4S"
    assert table["8", "uniform"]["outcome"] == "better than 4S"
    assert table["8", "gaussian"]["outcome"] == "no difference shown"
    assert ("4", "disc lines") in table and ("4", "tanh") not in table
    assert text.count("with a warning") == 1
    own = [row for row in listed if row["mask"].startswith("**")]
    places = [(r, rival) for r in ("4", "8") for rival in ("4S", "4S s0=200", "4S lines")]
    assert [(row["R"], row["mask"].strip("*")) for row in own] == places
    assert own[0]["PSNR (dB)"] == "33.00 ± 0.00"
    assert own[0]["keeps DC"] == f"{3 * (world.runs['4S', 4, 0].p_dc > 0.5)} of 3"
    said = baseline_headline(world.table()).splitlines()
    assert [line for line in said if line.startswith("- ")] == [
        f"- **R = {r}**, against {rival}" for r, rival in places
    ]
    assert said[1] == "  - better than 4S: uniform (-7.00 dB)"
    assert said[2].startswith("  - no difference shown: ") and "gaussian (+0.00 dB)" in said[2]
    assert said[3].startswith("  - worse than 4S: ") and "disc (+2.50 dB)" in said[3]
    assert (
        "**Not compared:** tanh. To train them: `python -m loupe_companion sweep "
        '--profile claims-smoke --methods "tanh"' in text
    )

    axes = draw(figures.baselines_figure(world.table())).axes
    titles = [f"R = {r}, against {rival}" for r, rival in places]
    assert [ax.get_title("right") for ax in axes] == titles
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    seeds = axes[0].lines[3 * names.index("disc") + 1]
    assert seeds.get_xdata().tolist() == [3, 2.5, 2]


def test_starts_of_4s_are_compared_on_the_seeds_that_decide_claim_3(template):
    later = World(template, seeds=(7, 8, 9, 10)).put("4S s0=1", psnr=(31.0, 32.0, 33.5))
    later.put("4S s0=1", probabilities=np.ones_like(template.probabilities))
    later.put("s=20", psnr=33.0)
    found = [spaced(row) for row in rows(start_table(later.table()))]
    assert [(row["R"], row["4S from 1 minus"]) for row in found] == [
        (r, rival) for rival in ("4S from 20", "s = 20") for r in ("4", "8")
    ]
    row = found[0]
    # By seed from 8 on: 33.5 - 32, 31 - 30, 32 - 31.
    assert row["n"] == "3" and row["mean ± SD (dB)"] == "1.17 ± 0.29"
    assert (row["at most 0.3 dB worse"], row["better"]) == ("shown", "shown")
    assert row["keeps DC"].startswith("3 against ") and row["zero frequency"] == "as it is"
    assert found[2]["mean ± SD (dB)"] == "-0.833 ± 1.3"
    later.drop("4S s0=1", seeds=(8,))
    assert start_table(later.table()) == "**Not run.**"


def test_kept_results_have_what_the_pages_say_of_the_start_of_4s():
    files = (ROOT / "results" / f"{name}-small.h5" for name in ("start", "more"))
    kept = [run for file in files for run in read_results(file)]
    table = RunTable(kept, find_profile("claims-small"))
    found = [spaced(row) for row in rows(start_table(table))]
    assert [(row["n"], row["better"]) for row in found] == [
        *[("16", "shown")] * 2,
        *[("16", "undecided")] * 2,
    ]
    assert all(row["keeps DC"].startswith("16 against") for row in found)


def test_soft_fractions_are_drawn_on_the_band_that_the_equations_allow(world):
    figure = draw(figures.soft_fractions_figure(world.table()))
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert np.isclose(band[:, 1].min(), np.log(19) / 2000)
    # The real run keeps to the band: from ln(19)/s to twice that.
    real = world.runs["4S", 4, 0]
    s = float(real.history["slope"][-1])
    assert 0.97 * np.log(19) / s < real.soft_share < 2 * 1.03 * np.log(19) / s


def test_figure_of_claim_2_has_both_kinds_of_masks(world):
    world.put("s=200", psnr=(30.0, 31.0, 35.0))
    for ax in draw(figures.slopes_figure(world.table())).axes:
        _, _, means, seeds = ax.lines  # those of relaxed masks come first
        assert means.get_label() == "thresholded mask"
        assert list(zip(*means.get_data(), strict=True))[1] == (200, 32)
        assert [y for x, y in zip(*seeds.get_data(), strict=True) if x == 200] == [30, 31, 35]


def test_figures_of_claims_5_7_and_8_show_every_run(world):
    world.put("4S", slope=(100.0, 200.0, 300.0))
    world.put("4S s0=200 m=2", psnr=(1.0, 2.0, 6.0)).put("trained-slope", path=[9.0, 5.0, 1.0])
    ax = draw(figures.returned_slopes_figure(world.table())).axes[0]
    drawn = [(line.get_marker(), *line.get_ydata()) for line in ax.lines]
    assert drawn == [("o", 100, 100), ("o", 200, 200), ("o", 300, 300), ("x", 18800, 1675)]
    panels = draw(figures.settings_figure(world.table())).axes
    assert [ax.get_xlabel() for ax in panels] == ["p", "m", "initial s"]
    means = panels[1].lines[0]
    assert list(means.get_xdata()) == [1.2, 1.5, 2, 3]
    assert means.get_ydata()[2] == 3  # at m = 2
    left, _ = draw(figures.trained_slope_figure(world.table())).axes
    assert [line.get_ydata().tolist() for line in left.lines] == [[9, 5, 1]] * 6


def test_the_file_of_claim_9_may_be_missing_but_not_damaged(tmp_path):
    path = tmp_path / "beyond.json"
    found = judge_beyond(path)
    assert found.verdict == NOT_RUN and str(path) in found.sentences[0]
    path.write_text("{}")
    with pytest.raises(InputError, match=r"beyond\.json"):
        judge_beyond(path)


@pytest.mark.parametrize("name", PAGES)
def test_each_claim_has_an_anchor_and_is_folded(name):
    cells = PAGES[name]
    for claim in (*TESTS, judge_beyond(ROOT / "none.json").claim):
        anchor = "claim" if name == "claims" else "small-claim"
        heading = f"({anchor}-{claim.number})=\n## {claim.number}. {claim.title}"
        at = [i for i, cell in enumerate(cells) if "".join(cell["source"]) == heading]
        if name == "claims64" and claim.number in (5, 9):
            assert not at
            continue
        cell = cells[at[0] + 1]
        assert "".join(cell["source"]) == f"show_claim(verdicts[{claim.number}], table)"
        assert cell["metadata"]["tags"] == ["hide-output"]


def test_a_claim_states_its_test_before_its_numbers(world, monkeypatch):
    shown: list[Any] = []
    monkeypatch.setattr(page, "display", shown.append)
    page.show_claim(world.verdict(2), world.table())
    said, figure, caption, found = shown
    assert said.data.startswith("**The paper says:**") and isinstance(figure, Figure)
    assert caption.data == "*Large marks and lines: means over seeds. Small marks: seeds.*"
    assert "**Verdict: " in found.data
    shown.clear()
    page.show_claim(world.verdict(6), world.table())
    _, figure, caption, _ = shown
    assert "Hollow: not counted" in caption.data and isinstance(figure, Figure)
