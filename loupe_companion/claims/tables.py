"""The claims in words: the tables and sentences of their page, in Markdown."""

import contextlib
import itertools
from collections.abc import Sequence
from itertools import groupby

import pandas as pd

from loupe_companion.claims.against_best import DC, DECIDING, MARGIN, NOT_WORSE, spreads
from loupe_companion.claims.baselines import COMPARED, baselines, exact
from loupe_companion.claims.run_table import RunTable, common, paired
from loupe_companion.claims.statistics import (
    SPACE,
    Claim,
    Finding,
    NotRun,
    Verdict,
    compare,
    deciding,
    number,
    requirement,
)
from loupe_companion.methods import Family
from loupe_companion.results import RunResult
from loupe_companion.tables import CONFIDENCE, count_dc, markdown, mean_and_spread

INTERVAL = f"{CONFIDENCE:.0%} interval"
COMPARISON = f"one comparison behind the verdict: mean [{CONFIDENCE:.0%} interval]"
BETTER, WORSE, NO_DIFFERENCE = "better than 4S", "worse than 4S", "no difference shown"


def verdict_table(verdicts: Sequence[Verdict], anchor: str = "claim") -> str:
    """A row for each claim, with the comparison that :func:`deciding` names.

    A claim leads to the anchor on its page, such as ``claim-3``.
    """
    rows = []
    for verdict in verdicts:
        claim, counted = verdict.claim, verdict.counted
        named = deciding(verdict.verdict, [finding.outcome for finding in counted])
        rows.append(
            {
                "claim": f"[{claim.number}. {claim.title}](#{anchor}-{claim.number})",
                "verdict": f"**{verdict.label}**",
                COMPARISON: "" if named is None else headline(counted[named]),
            }
        )
    return markdown(pd.DataFrame(rows))


def headline(finding: Finding) -> str:
    """What was compared, and below it mean, interval, seeds and what the claim requires."""
    what = finding.part + f", {finding.place}" * bool(finding.place)
    low, high = map(number, finding.interval)
    mean = f"{number(finding.mean)} {finding.unit}".strip()
    value = f"{mean} [{low}, {high}], n = {finding.seeds}".replace(" ", SPACE)
    needed = requirement(*finding.region, "")
    return f"{what}:<br>{value}" + f"; required: {needed}" * bool(needed)


def statement(claim: Claim) -> str:
    """What the paper says, and the test."""
    known = "when some results of these runs were known"
    when = known if claim.known else "before the runs that count"
    return f"**The paper says:** {claim.says}\n\n**Test**, written {when}:\n\n{claim.test}"


def outcome(verdict: Verdict) -> str:
    """The comparisons of a test, its verdict and what was found."""
    rows = [
        {
            "comparison": ", ".join(filter(None, (finding.part, finding.detail))),
            "R": "" if finding.acceleration is None else f"{finding.acceleration:g}",
            "n": str(finding.seeds),
            "unit": finding.unit,
            "mean ± SD": _spread(finding),
            INTERVAL: _interval(finding),
            "outcome": finding.outcome if finding.decides else f"({finding.outcome})",
        }
        for finding in verdict.findings
    ]
    table = markdown(pd.DataFrame(rows)) + "\n\n" if rows else ""
    sentences = "\n".join(f"- {sentence}" for sentence in verdict.sentences)
    return f"{table}**Verdict: {verdict.label}.**\n\n{sentences}"


def baseline_headline(table: RunTable) -> str:
    """At each R, which masks are better than 4S and which worse, with 4S minus each: a list."""
    found, _ = baselines(table)
    lines = []
    for (place, rival), group in groupby(found, lambda b: (b.finding.place, b.rival)):
        names: dict[str, list[str]] = {BETTER: [], NO_DIFFERENCE: [], WORSE: []}
        for other in group:
            name = f"{other.name} ({other.finding.mean:+.2f} dB)"
            names[_better(other.finding)].append(name)
        lines.append(f"- **{place}**, against {rival}")
        lines += [f"  - {kind}: {', '.join(each)}" for kind, each in names.items() if each]
    return "\n".join(lines)


def baseline_table(table: RunTable) -> str:
    """A row for each way to choose a mask, at each R, and below it what was not run."""
    found, missing = baselines(table)
    rows = []
    for (r, rival), group in groupby(found, lambda b: (b.finding.acceleration, b.rival)):
        compared = list(group)
        rows.append({"R": f"{r:g}", **_mask_row(f"**{rival}**", compared[0].own)})
        for other in compared:
            rows.append(
                {
                    "R": f"{r:g}",
                    **_mask_row(other.name, other.other),
                    "n": str(other.finding.seeds),
                    "4S minus this mask (dB)": number(other.finding.mean),
                    INTERVAL: _interval(other.finding),
                    "outcome": _better(other.finding),
                }
            )
    text = markdown(pd.DataFrame(rows).fillna("")) + "\n\n" if rows else ""
    if missing:
        families: tuple[Family, ...] = ("4S", "fixed slope", *COMPARED)
        how = table.how([*table.methods(*families), *table.methods(*families, lines=True)])
        text += f"**Not compared:** {', '.join(missing)}. {how}"
    return text


def _mask_row(name: str, runs: Sequence[RunResult]) -> dict[str, str]:
    """What a table says of a mask alone."""
    warned = sum(bool(run.warnings) for run in runs)
    return {
        "mask": f"{name}{f' ({warned} with a warning)' * (warned > 0)}",
        "PSNR (dB)": mean_and_spread([*map(exact, runs)]),
        "keeps DC": count_dc(runs),
    }


def _better(finding: Finding) -> str:
    low, high = finding.interval
    if low > 0:
        return WORSE
    return BETTER if high < 0 else NO_DIFFERENCE


def spread_table(table: RunTable) -> str:
    """By what varies: how much it changes the number of claim 3, at each R; or what was not run."""
    try:
        rows = [
            {"R": f"{r:g}", "what varies": what, "values": str(n), "SD (dB)": f"{spread:.2f}"}
            for r in table.accelerations
            for what, (spread, n) in spreads(table, r).items()
        ]
    except NotRun as error:
        return f"**Not run:** {error}."
    return markdown(pd.DataFrame(rows))


def keras_table(table: RunTable) -> str:
    """Test PSNR with Keras's defaults minus that with torch's, a row for each R and method."""
    keras = table.with_settings(keras=True)
    rows = []
    for r, method in itertools.product(table.accelerations, table.methods("fixed slope", "4S")):
        with contextlib.suppress(NotRun):
            gains = paired(keras.runs(r, method.name), table.runs(r, method.name), RunResult.psnr)
            finding = compare(method.name, "dB", r, gains)
            low, high = finding.interval
            rows.append(
                {
                    "R": f"{r:g}",
                    "method": method.name,
                    "n": str(finding.seeds),
                    "Keras minus torch (dB), mean ± SD": _spread(finding),
                    INTERVAL: _interval(finding),
                    "effect": "not shown" if low <= 0 <= high else "shown",
                }
            )
    return markdown(pd.DataFrame(rows)) if rows else "**Not run.**"


def start_table(table: RunTable) -> str:
    """Test PSNR of 4S from s = 1 minus that of 4S from 20 and of s = 20, a row for each.

    This is the test of *Where 4S starts* in ``results/README.md``.
    """
    deciding = table.only(lambda run: run.config.seed in DECIDING)
    views = {"as it is": deciding, DC: deciding.with_settings(center=1)}
    rows = []
    for (name, view), rival in itertools.product(views.items(), ("4S", "s=20")):
        for r in view.accelerations:
            with contextlib.suppress(NotRun):
                own, other = view.runs(r, "4S s0=1"), view.runs(r, rival)
                gains = paired(own, other, RunResult.psnr)
                seeds = common(own, other)
                kept = [sum(runs[seed].p_dc > 0.5 for seed in seeds) for runs in (own, other)]
                low, better = (compare(rival, "dB", r, gains, bound) for bound in (-MARGIN, 0.0))
                rows.append(
                    {
                        "zero frequency": name,
                        "R": f"{r:g}",
                        "n": str(better.seeds),
                        "4S from 1 minus": "4S from 20" if rival == "4S" else "s = 20",
                        "mean ± SD (dB)": _spread(better),
                        INTERVAL: _interval(better),
                        NOT_WORSE: low.outcome,
                        "better": better.outcome,
                        "keeps DC": f"{kept[0]} against {kept[1]}".replace(" ", SPACE),
                    }
                )
    return markdown(pd.DataFrame(rows)) if rows else "**Not run.**"


def _spread(finding: Finding) -> str:
    """Mean and standard deviation over seeds, with significant digits: units differ by test."""
    return f"{number(finding.mean)} ± {number(finding.deviation, 2)}".replace(" ", SPACE)


def _interval(finding: Finding) -> str:
    low, high = map(number, finding.interval)
    return f"{low} to {high}".replace(" ", SPACE)
