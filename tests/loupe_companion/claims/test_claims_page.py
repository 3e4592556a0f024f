"""The page of the claims: its tables, sentences and figures, and the order they stand in."""

import ast
import io
import json
import re
from pathlib import Path
from typing import Any

import IPython.display
import numpy as np
import pytest
from matplotlib.figure import Figure

from loupe_companion.claims import against_best, figures
from loupe_companion.claims.statistics import NOT_RUN, number
from loupe_companion.claims.tables import baseline_table, outcome, verdict_table
from loupe_companion.claims.verdicts import TESTS, judge, judge_beyond
from loupe_companion.results import write_results
from loupe_lib.errors import InputError
from tests.conftest import ROOT
from tests.loupe_companion.claims.conftest import SLOPES, rows

SPACE = "\N{NO-BREAK SPACE}"
PAGE = json.loads((ROOT / "notebooks" / "claims.ipynb").read_text("utf-8"))["cells"]


def save(figure: Figure | None) -> Figure:
    """Drawing warns of all that does not fit or is missing; warnings are errors."""
    assert figure is not None
    figure.savefig(io.BytesIO(), dpi=50)
    return figure


def run_page(monkeypatch: pytest.MonkeyPatch, **parameters: Any) -> list[Any]:
    """Run the cells of the page in this process; what they show."""
    shown: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    namespace: dict[str, Any] = {}
    for cell in PAGE:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] != "code" or "install" in tags:
            continue
        source = "".join(line for line in cell["source"] if not line.startswith("%"))
        body = ast.parse(source).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), "page", "exec"), namespace)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), "page", "eval"), namespace))
        if "parameters" in tags:
            namespace.update(parameters)
    return shown


def spaced(row: dict[str, str]) -> dict[str, str]:
    """A row with plain spaces."""
    return {name: cell.replace(SPACE, " ") for name, cell in row.items()}


def test_the_table_has_a_row_for_each_claim_and_a_line_for_each_comparison(world, images):
    world.put("4S", psnr=(28.0, 30.0, 35.5))
    verdicts = judge(world.table(images))
    table = [spaced(row) for row in rows(verdict_table(verdicts))]
    for row, verdict in zip(table, verdicts, strict=True):
        assert row["claim"] == f"Claim {verdict.claim.number}: {verdict.claim.title}"
        assert row["test"] == verdict.claim.short
        assert row["verdict"] == f"**{verdict.verdict}**"
        counted = sum(finding.decides for finding in verdict.findings)
        assert row["mean ± SD"].count("<br>") == row["95% interval"].count("<br>") == counted - 1
    # 4S minus fixed, by seed: -2, -1, 3.5
    assert table[2]["seeds"] == "3"
    assert table[2]["mean ± SD"] == "R = 4: 0.167 ± 2.9<br>R = 8: 0.167 ± 2.9"
    assert table[2]["95% interval"] == "-7.11 to 7.44<br>-7.11 to 7.44"
    assert table[0]["mean ± SD"].startswith("R = 4 (1a): ")


def test_a_claim_that_was_not_run_has_no_numbers_and_no_figure(world):
    empty = world.drop(".*").table()
    for row in rows(verdict_table(judge(empty))):
        assert row["verdict"] == f"**{NOT_RUN}**"
        assert not row["mean ± SD"] and not row["95% interval"] and not row["seeds"]
    for draw in (
        figures.soft_fractions_figure,
        figures.returned_slopes_figure,
        figures.settings_figure,
        figures.trained_slope_figure,
        figures.baselines_figure,
    ):
        assert draw(empty) is None
    assert figures.findings_figure(judge(empty)[0]) is None


def test_every_comparison_has_a_row_and_is_drawn_with_its_seeds_interval_and_region(world):
    world.put("4S", psnr=(28.0, 30.0, 35.5)).put("4S released", psnr=10.0)
    found = world.verdict(3)
    text = outcome(found)
    for row, finding in zip(rows(text), found.findings, strict=True):
        low, high = finding.interval
        assert spaced(row) == {
            "comparison": f"{finding.part}, {finding.detail}",
            "R": f"{finding.acceleration:g}",
            "seeds": "3",
            "mean ± SD": f"{number(finding.mean)} ± {number(finding.deviation, 2)}",
            "95% interval": f"{number(low)} to {number(high)}",
            "outcome": finding.outcome if finding.decides else f"({finding.outcome})",
        }
    assert f"**Verdict: {found.verdict}.**" in text
    for sentence in found.sentences:
        assert f"- {sentence}" in text

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
        assert shaded.get_x() == pytest.approx(np.clip(-against_best.MARGIN, low, high))
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
    assert table["8", "disc"]["outcome"] == "4S is better"
    assert table["8", "uniform"]["outcome"] == "this mask is better"
    assert table["8", "gaussian"]["outcome"] == "no difference shown"
    assert table["4", "disc lines"]["samples"] == "lines" and ("4", "tanh") not in table
    assert text.count("with a warning") == 1
    own = [row for row in listed if row["mask"] == "**4S**"]
    places = [(r, samples) for r in ("4", "8") for samples in ("points", "lines")]
    assert [(row["R"], row["samples"]) for row in own] == places
    assert own[0]["PSNR (dB)"] == "33.00 ± 0.00" and own[0]["seeds"] == "3"
    assert (
        "**Not compared:** tanh. To train them: `python -m loupe_companion sweep "
        '--profile claims-smoke --methods "tanh"' in text
    )

    axes = save(figures.baselines_figure(world.table())).axes
    assert [ax.get_title() for ax in axes] == [f"R = {r}, {samples}" for r, samples in places]
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    seeds = axes[0].lines[3 * names.index("disc") + 1]
    assert seeds.get_xdata().tolist() == [3, 2.5, 2]


def test_soft_fractions_are_drawn_on_the_band_that_the_equations_allow(world):
    figure = save(figures.soft_fractions_figure(world.table()))
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert np.isclose(band[:, 1].min(), np.log(19) / 2000)
    # The real run keeps to the band: from ln(19)/s to twice that.
    real = world.runs["4S", 4, 0]
    s = float(real.history["slope"][-1])
    assert 0.97 * np.log(19) / s < real.soft_share < 2 * 1.03 * np.log(19) / s


def test_figures_of_claims_5_7_and_8_show_every_run(world):
    world.put("4S", slope=(100.0, 200.0, 300.0))
    world.put("4S m=2", psnr=(1.0, 2.0, 6.0)).put("trained-slope", path=[9.0, 5.0, 1.0])
    ax = save(figures.returned_slopes_figure(world.table())).axes[0]
    drawn = [(line.get_marker(), *line.get_ydata()) for line in ax.lines]
    assert drawn == [("o", 100, 100), ("o", 200, 200), ("o", 300, 300), ("x", 18800, 1675)]
    panels = save(figures.settings_figure(world.table())).axes
    assert [ax.get_xlabel() for ax in panels] == ["p", "m", "initial s"]
    means = panels[1].lines[0]
    assert list(means.get_xdata()) == [1.2, 1.5, 2, 3]
    assert means.get_ydata()[2] == 3  # at m = 2
    left, _ = save(figures.trained_slope_figure(world.table())).axes
    assert [line.get_ydata().tolist() for line in left.lines] == [[9, 5, 1]] * 6


def test_the_file_of_claim_9_may_be_missing_but_not_damaged(tmp_path):
    path = tmp_path / "beyond.json"
    found = judge_beyond(path)
    assert found.verdict == NOT_RUN and str(path) in found.sentences[0]
    path.write_text("{}")
    with pytest.raises(InputError, match=r"beyond\.json"):
        judge_beyond(path)


def test_the_page_shows_every_claim(world, tmp_path: Path, monkeypatch):
    world.put("4S", topk=(31.0, 32.0, 33.5))
    write_results(world.runs.values(), tmp_path / "all.h5")
    monkeypatch.chdir(tmp_path)
    shown = run_page(
        monkeypatch,
        profile="claims-smoke",
        accelerations=[4, 8],
        slopes=list(SLOPES),
        files=["all.h5", "none.h5"],
    )
    drawn = [figure for figure in shown if isinstance(figure, Figure)]
    assert len(drawn) == 9  # claims 1 to 8, and the baselines; claim 9 has a file of its own
    text = "\n".join(item.data for item in shown if hasattr(item, "data"))
    assert text.count("**not run**") == 1
    assert "| Claim 9: " in next(line for line in text.splitlines() if "**not run**" in line)
    assert text.count("Verdict: not run") == 4  # claim 9, and three at the size of another sweep
    table = re.sub(" +", " ", text)
    assert "| 8 | points | poisson |" in table and "| best of 3 fixed slopes | 3 |" in table
    assert text.index("Runs with a warning") < text.index("The paper says")


def test_the_page_states_each_test_before_its_numbers():
    sources = ["".join(cell["source"]) for cell in PAGE]
    for claim in (*TESTS, judge_beyond(ROOT / "none.json").claim):
        heading = sources.index(f"## Claim {claim.number}: {claim.title}")
        after = sources[heading + 1 : heading + 4]
        assert "statement(" in after[0] and f"[{claim.number}].claim" in after[0]
        assert "figure(" in after[1]
        assert "outcome(" in after[2] and f"[{claim.number}]" in after[2]
