"""The claims in words: the tables and sentences of their page, in Markdown."""

import math
import re
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from loupe_companion.claims.baselines import METHODS, Baseline, baselines
from loupe_companion.claims.run_table import Evidence
from loupe_companion.claims.statistics import (
    CONFIDENCE,
    SHOWN,
    Claim,
    Finding,
    NotRun,
    Verdict,
    number,
)
from loupe_companion.claims.tuning_cost import tuning_costs
from loupe_companion.tables import mean_and_spread

SPACE = "\N{NO-BREAK SPACE}"


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """A row for each claim; where a test has several comparisons, a line for each."""
    rows = [
        f"| claim | verdict | test | seeds | mean ± spread | {CONFIDENCE:.0%} interval |",
        "|:--|:--|:--|--:|:--|--:|",
    ]
    for verdict in verdicts:
        shown = [finding for finding in verdict.findings if finding.decides]
        cells = (
            f"{verdict.claim.number}. {verdict.claim.title}",
            f"**{verdict.verdict}**",
            verdict.claim.short,
            ", ".join(dict.fromkeys(str(finding.seeds) for finding in shown)),
            "<br>".join(map(_mean, shown)),
            "<br>".join(_interval(finding.interval) for finding in shown),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def statement(claim: Claim) -> str:
    """What the paper says, and the test, as they stood before any number."""
    when = (
        "written with some results of these runs known"
        if claim.known
        else "written before any of its numbers was known"
    )
    return f"**The paper says:** {claim.says}\n\n**Test**, {when}:\n\n{claim.test}"


def outcome(verdict: Verdict) -> str:
    """The comparisons of a test, its verdict and what was found."""
    rows = [
        f"| comparison | R | seeds | mean ± spread | {CONFIDENCE:.0%} interval | bootstrap | |",
        "|:--|--:|--:|--:|--:|--:|:--|",
    ]
    for finding in verdict.findings:
        cells = (
            f"{finding.part}, {finding.detail}" if finding.detail else finding.part,
            "" if finding.acceleration is None else f"{finding.acceleration:g}",
            str(finding.seeds),
            _spread(finding),
            _interval(finding.interval),
            _interval(finding.bootstrap),
            finding.outcome if finding.decides else f"({finding.outcome})",
        )
        rows.append(f"| {' | '.join(cells)} |")
    table = "\n".join(rows) + "\n\n" if verdict.findings else ""
    sentences = "\n".join(f"- {sentence}" for sentence in verdict.sentences)
    return f"{table}**Verdict: {verdict.verdict}.**\n\n{sentences}"


def baseline_table(evidence: Evidence) -> str:
    """A row for each way to choose a mask, at each R, and below it what was not run."""
    found, missing = baselines(evidence)
    rows = [
        "| R | samples | mask | PSNR (dB) | seeds | 4S minus it (dB) "
        f"| {CONFIDENCE:.0%} interval | |",
        "|--:|:--|:--|--:|--:|--:|--:|:--|",
    ]
    for _, group in groupby(found, key=lambda b: (b.finding.acceleration, b.lines)):
        alike = list(group)
        rows += [_own(alike[0]), *map(_baseline, alike)]
    table = "\n".join(rows) + "\n\n" if found else ""
    if missing:
        table += f"**Not compared:** {', '.join(missing)}. {evidence.how(METHODS)}"
    return table


def _own(baseline: Baseline) -> str:
    """The row of the 4S that others are compared with."""
    cells = (*_place(baseline), "**4S**", mean_and_spread(baseline.own), str(len(baseline.own)))
    return f"| {' | '.join(cells)} | | | |"


def _place(baseline: Baseline) -> tuple[str, str]:
    return f"{baseline.finding.acceleration:g}", "lines" if baseline.lines else "points"


def _baseline(baseline: Baseline) -> str:
    finding = baseline.finding
    side = "4S is better" if finding.mean > 0 else "it is better"
    cells = (
        *_place(baseline),
        baseline.name + (f" ({baseline.warned} with a warning)" if baseline.warned else ""),
        mean_and_spread(baseline.psnr),
        str(finding.seeds),
        number(finding.mean),
        _interval(finding.interval),
        side if finding.outcome == SHOWN else "no difference shown",
    )
    return f"| {' | '.join(cells)} |"


def cost_table(evidence: Evidence) -> str:
    """What a search over fixed slopes and one run of 4S take, and what they reach."""
    try:
        costs = tuning_costs(evidence)
    except NotRun as error:
        return f"**Not run:** {error}."
    rows = [
        "| R | slope | trainings | epochs | seconds | PSNR (dB) |",
        "|--:|:--|--:|--:|--:|--:|",
        *(
            f"| {c.acceleration:g} | {c.way} | {c.trainings} | {c.epochs} | {c.seconds:.0f} "
            f"| {mean_and_spread(c.psnr)} |"
            for c in costs
        ),
    ]
    return "\n".join(rows)


def _interval(ends: tuple[float, float]) -> str:
    low, high = map(number, ends)
    return low if np.isnan(ends).all() else f"{low} to {high}".replace(" ", SPACE)


def _mean(finding: Finding) -> str:
    """Mean and spread, after R or a task, and the part of the test; on one line."""
    name, colon, _ = finding.part.partition(":")
    part = re.match(r"\([\w ]+\)", finding.part)
    r = "" if finding.acceleration is None else f"R = {finding.acceleration:g}"
    place = name if colon else f"{r} {part[0] if part else ''}".strip()
    return f"{place}: {_spread(finding)}".removeprefix(": ").replace(" ", SPACE)


def _spread(finding: Finding) -> str:
    """Mean, and the standard deviation over seeds where there is one."""
    mean = number(finding.mean)
    if math.isnan(finding.deviation):
        return mean
    return f"{mean} ± {number(finding.deviation, 2)}".replace(" ", SPACE)
