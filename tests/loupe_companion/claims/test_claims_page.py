"""The page of the claims: its tables, sentences and figures, and the order they stand in."""

import io
import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from loupe_companion.claims import against_best, figures, soft_masks, thresholding, trained_slope
from loupe_companion.claims.run_table import Evidence
from loupe_companion.claims.statistics import NOT_RUN, VERDICTS, number
from loupe_companion.claims.tables import (
    baseline_table,
    cost_table,
    outcome,
    statement,
    verdict_table,
)
from loupe_companion.claims.verdicts import judge
from loupe_companion.profiles import find_profile
from loupe_companion.results import write_results
from loupe_companion.sources import load_images
from loupe_companion.sweep import run_sweep
from loupe_lib.errors import InputError
from tests.conftest import ROOT
from tests.loupe_companion.claims.world import SLOPES
from tests.loupe_companion.test_tables import rows

pytest_plugins = ["tests.loupe_companion.claims.fixtures"]

SPACE = "\N{NO-BREAK SPACE}"


def save(figure: Figure | None) -> Figure:
    """Drawing warns of all that does not fit or is missing; warnings are errors."""
    assert figure is not None
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=50)
    assert len(buffer.getvalue()) > 1000
    return figure


def test_the_table_has_a_row_for_each_claim_and_a_line_for_each_comparison(world, images):
    world.put("4S", psnr=(28.0, 30.0, 35.5))
    verdicts = judge(world.evidence(images))
    table = rows(verdict_table(verdicts))
    assert len(table) == 9
    for row, verdict in zip(table, verdicts, strict=True):
        assert row["claim"] == f"{verdict.claim.number}. {verdict.claim.title}"
        assert row["test"] == verdict.claim.short
        assert row["verdict"] == f"**{verdict.verdict}**" and verdict.verdict in VERDICTS
        shown = [finding for finding in verdict.findings if finding.decides]
        for column in ("mean ± spread", "95% interval"):
            assert len(row[column].split("<br>")) == max(len(shown), 1)
    third = table[2]
    # 4S minus fixed, by seed: -2, -1, 3.5
    assert third["seeds"] == "3"
    means = [line.replace(SPACE, " ") for line in third["mean ± spread"].split("<br>")]
    assert means == ["R = 4: 0.167 ± 2.9", "R = 8: 0.167 ± 2.9"]
    assert third["95% interval"].split("<br>") == [f"-7.11{SPACE}to{SPACE}7.44"] * 2


def test_a_claim_that_was_not_run_has_no_numbers(world):
    table = rows(verdict_table(judge(world.drop(".*").evidence())))
    for row in table:
        assert row["verdict"] == f"**{NOT_RUN}**"
        assert not re.search(r"\d", row["mean ± spread"] + row["95% interval"])


@pytest.mark.parametrize("index", range(9))
def test_the_statement_tells_the_test_and_when_it_was_written(world, index):
    claim = judge(world.evidence())[index].claim
    text = statement(claim)
    assert claim.says in text and claim.test in text
    assert ("some results of these runs known" in text) == (claim.number in (1, 2, 3, 5, 6))


def test_statements_hold_the_thresholds_that_are_used():
    assert f"above -{against_best.MARGIN:g} dB" in against_best.CLAIM.test
    assert f"above {thresholding.MUCH:g} dB" in thresholding.CLAIM.test
    assert f"below {thresholding.NOTHING:g} dB" in thresholding.CLAIM.test
    assert f"{soft_masks.MANY:.0%}" in soft_masks.CLAIM.test
    assert f"{trained_slope.GONE:.2f}" in trained_slope.CLAIM.test


def test_the_outcome_has_a_row_for_each_comparison_and_marks_those_without_a_vote(world):
    world.put("4S", psnr=(28.0, 30.0, 35.5)).put("4S released", psnr=10.0)
    found = judge(world.evidence())[2]
    text = outcome(found)
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert len(lines) == len(found.findings) == 12
    for line, finding in zip(lines, found.findings, strict=True):
        cells = [cell.strip().replace(SPACE, " ") for cell in line[1:-1].split("|")]
        assert cells[0] == f"{finding.part}, {finding.detail}"
        assert cells[1] == f"{finding.acceleration:g}" and cells[2] == "3"
        assert cells[3] == f"{number(finding.mean)} ± {number(finding.deviation, 2)}"
        for cell, (low, high) in zip(
            cells[4:], (finding.interval, finding.bootstrap), strict=False
        ):
            assert cell == f"{number(low)} to {number(high)}"
        assert cells[6] == (finding.outcome if finding.decides else f"({finding.outcome})")
    assert f"**Verdict: {found.verdict}.**" in text
    for sentence in found.sentences:
        assert f"- {sentence}" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123456, "0.0123"),
        (-12.345, "-12.3"),
        (18812.4, "18812"),
        (999.7, "1000"),
        (float("nan"), "-"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.1234, "0.12"), (99.7, "100"), (1638.7, "1639")])
def test_spreads_have_two_digits(value, text):
    assert number(value, 2) == text


def test_the_table_of_baselines_says_which_is_better_and_what_was_not_run(world):
    world.put("4S", topk=33.0).put("disc", topk=(30.0, 30.5, 31.0)).put("uniform", topk=40.0)
    world.put("gaussian", topk=(20.0, 33.0, 46.0)).drop("tanh")
    listed = rows(baseline_table(world.evidence()))
    table = {(row["R"], row["mask"]): row for row in listed if row["mask"] != "**4S**"}
    disc = table["4", "disc"]
    assert disc["PSNR (dB)"] == "30.50 ± 0.50" and disc["4S minus it (dB)"] == "2.5"
    last = {name: list(table["8", name].values())[-1] for name in ("disc", "uniform", "gaussian")}
    assert last == {
        "disc": "4S is better",
        "uniform": "it is better",
        "gaussian": "no difference shown",
    }
    assert table["4", "disc lines"]["samples"] == "lines"
    own = [row for row in listed if row["mask"] == "**4S**"]
    assert [(row["R"], row["samples"]) for row in own] == [
        (r, samples) for r in ("4", "8") for samples in ("points", "lines")
    ]
    assert own[0]["PSNR (dB)"] == "33.00 ± 0.00" and own[0]["seeds"] == "3"
    assert ("4", "tanh") not in table
    warned = world.put("disc", r=4, warnings=("", "", ("collapsed mask",))).evidence()
    assert "| points | disc (1 with a warning) |" in baseline_table(warned)
    assert baseline_table(warned).count("with a warning") == 1
    assert (
        "**Not compared:** tanh. To train them: `python -m loupe_companion sweep "
        '--profile claims-smoke --methods "tanh"' in baseline_table(world.evidence())
    )


def test_the_table_of_costs_sets_the_grid_beside_4s(world):
    first, second, *_ = rows(cost_table(world.evidence()))
    assert (first["slope"], first["trainings"]) == ("best of 3 fixed slopes", "3")
    assert (second["slope"], second["trainings"]) == ("4S", "1")
    assert int(first["epochs"]) == 3 * int(second["epochs"])
    assert cost_table(world.drop("4S").evidence()).startswith("**Not run:** 4S at R = 4")


def test_every_comparison_is_drawn_with_its_seeds_interval_and_region(world):
    world.put("4S", psnr=(28.0, 30.0, 35.5))
    found = judge(world.evidence())[2]
    figure = save(figures.findings_figure(found))
    parts = list(dict.fromkeys(finding.part for finding in found.findings))
    assert [ax.get_title() for ax in figure.axes] == parts
    for ax in figure.axes:
        here = [finding for finding in found.findings if finding.part == ax.get_title()]
        for y, finding in enumerate(here):
            interval, seeds, mean = ax.lines[3 * y : 3 * y + 3]
            assert tuple(interval.get_xdata()) == finding.interval
            assert tuple(seeds.get_xdata()) == finding.values
            assert mean.get_xdata()[0] == finding.mean and mean.get_ydata()[0] == y
            assert (mean.get_markerfacecolor() == "white") != finding.decides
        (shaded,) = ax.patches
        low, high = ax.get_xlim()
        assert shaded.get_x() == pytest.approx(max(low, -against_best.MARGIN))
        assert shaded.get_x() + shaded.get_width() == pytest.approx(high)


def test_soft_shares_are_drawn_on_the_band_that_the_equations_allow(trained, world):
    figure = save(figures.shares_figure(world.evidence()))
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    # The real runs keep to the band: at s = 200, from ln(19)/200 to twice that.
    low, high = np.log(19) / 200, 2 * np.log(19) / 200
    assert np.isclose(band[:, 1].min(), np.log(19) / 2000)
    real = [r.soft_share for r in trained.results if r.config.slope == 200]
    assert real and all(0.97 * low < share < 1.03 * high for share in real)


def test_figures_of_claims_5_7_and_8_show_every_run(world):
    world.put("4S", slope=(100.0, 200.0, 300.0))
    world.put("4S m=2", psnr=(1.0, 2.0, 6.0)).put("trained-slope", path=[9.0, 5.0, 1.0])
    ax = save(figures.returned_slopes_figure(world.evidence())).axes[0]
    lines = [tuple(line.get_ydata()) for line in ax.lines if len(line.get_ydata()) == 2]
    assert lines == [(100, 100), (200, 200), (300, 300)]
    crosses = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "x"]
    assert crosses == [18800, 1675]
    panels = save(figures.settings_figure(world.evidence())).axes
    assert [ax.get_xlabel() for ax in panels] == ["p", "m", "initial s"]
    factors = panels[1].lines[0].get_xdata().tolist()
    assert factors == [1.2, 1.5, 2, 3]
    assert panels[1].lines[0].get_ydata()[2] == 3  # the mean at m = 2
    left, _ = save(figures.trained_slope_figure(world.evidence())).axes
    assert [line.get_ydata().tolist() for line in left.lines] == [[9, 5, 1]] * 6


def test_baselines_are_drawn_for_each_acceleration_points_and_lines(world):
    world.put("disc", topk=(29.0, 30.0, 31.0)).put("4S", topk=(31.0, 32.0, 33.5))
    figure = save(figures.baselines_figure(world.evidence()))
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["R = 4, points", "R = 4, lines", "R = 8, points", "R = 8, lines"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    row = names.index("disc")
    assert figure.axes[0].lines[3 * row + 1].get_xdata().tolist() == [2, 2, 2.5]


def test_what_was_not_run_is_not_drawn(world):
    empty = world.drop(".*").evidence()
    for draw in (
        figures.shares_figure,
        figures.returned_slopes_figure,
        figures.settings_figure,
        figures.trained_slope_figure,
        figures.baselines_figure,
    ):
        assert draw(empty) is None
    for verdict in judge(empty):
        assert figures.findings_figure(verdict) is None


def test_a_damaged_file_of_claim_9_is_named(world, tmp_path):
    path = tmp_path / "beyond.json"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"beyond\.json"):
        judge(world.evidence(), path)
    assert judge(world.evidence(), tmp_path / "none.json")[8].verdict == NOT_RUN


def test_every_claim_is_judged_from_real_runs(tmp_path):
    """Of the smallest size; their verdicts mean nothing, and that there are some is the test."""
    wanted = ("s=20", "s=2000", "4S", "4S p=4", "4S m=3", "4S s0=2000", "trained-slope", "disc")
    chosen = find_profile(
        "claims-smoke",
        accelerations=[4, 8],
        slopes=[20, 2000],
        seed=[0, 1, 2],
        methods=wanted,
        train=16,
        validation=8,
        test=8,
        shrink_epochs=1,
        settle_epochs=1,
    )
    results = [run_sweep([c], tmp_path, progress=False)[0] for c in chosen.configs()]
    evidence = Evidence(results, chosen, load_images(chosen.configs()[0]))
    for verdict in judge(evidence)[:8]:
        assert verdict.verdict != NOT_RUN and verdict.findings, verdict.sentences
        assert f"**Verdict: {verdict.verdict}.**" in outcome(verdict)
    table = baseline_table(evidence)
    assert "| disc |" in table
    save(figures.baselines_figure(evidence))
    save(figures.settings_figure(evidence))
    save(figures.trained_slope_figure(evidence))


def test_the_page_is_whole_where_every_arm_was_run(world, tmp_path):
    execute = pytest.importorskip(
        "loupe_companion.book.notebooks", reason="the book's tools are not installed"
    )
    world.put("4S", topk=(31.0, 32.0, 33.5))
    write_results(world.runs.values(), tmp_path / "all.h5")
    parameters = {
        "profile": "claims-smoke",
        "accelerations": [4, 8],
        "slopes": list(SLOPES),
        "files": ["all.h5", "none.h5"],
    }
    source = ROOT / "notebooks" / "claims.ipynb"
    cells = execute.execute(source, tmp_path / "done.ipynb", parameters, [], tmp_path).cells
    shown = [
        output.data for cell in cells for output in cell.get("outputs", []) if "data" in output
    ]
    pictures = [data for data in shown if "image/png" in data]
    assert len(pictures) == 9  # claims 1 to 8, and the baselines; claim 9 has a file of its own
    text = "\n".join(data.get("text/markdown", "") for data in shown)
    assert text.count("**not run**") == 1
    assert "| 9. " in next(line for line in text.splitlines() if "**not run**" in line)
    assert text.count("Verdict: not run") == 4  # claim 9, and three at the size of another sweep
    assert "| 8 | points | poisson |" in text and "| best of 3 fixed slopes | 3 |" in text
    assert text.index("Runs with a warning") < text.index("The paper says")


def test_the_page_states_each_test_before_its_numbers():
    cells = json.loads((ROOT / "notebooks" / "claims.ipynb").read_text("utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    for verdict in judge(Evidence([], find_profile("claims"))):
        claim = verdict.claim
        heading = sources.index(f"## Claim {claim.number}: {claim.title}")
        after = sources[heading + 1 : heading + 4]
        assert "statement(" in after[0] and f"[{claim.number}].claim" in after[0]
        assert "figure(" in after[1]
        assert "outcome(" in after[2] and f"[{claim.number}]" in after[2]
