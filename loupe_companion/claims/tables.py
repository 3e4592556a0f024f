"""The claims in words: the tables and sentences of their page, in Markdown."""

import re
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd

from loupe_companion.claims.baselines import COMPARED, baselines
from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import CONFIDENCE, Claim, Finding, Verdict, number
from loupe_companion.methods import Family
from loupe_companion.tables import markdown, mean_and_spread

SPACE = "\N{NO-BREAK SPACE}"
INTERVAL = f"{CONFIDENCE:.0%} interval"


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """A row for each claim, with a line for each comparison of its test."""
    rows = []
    for verdict in verdicts:
        counted = [finding for finding in verdict.findings if finding.decides]
        rows.append(
            {
                "claim": f"Claim {verdict.claim.number}: {verdict.claim.title}",
                "verdict": f"**{verdict.verdict}**",
                "test": verdict.claim.short,
                "seeds": ", ".join(dict.fromkeys(str(finding.seeds) for finding in counted)),
                "mean ± SD": "<br>".join(f"{_label(f)}{_spread(f)}" for f in counted),
                INTERVAL: "<br>".join(map(_interval, counted)),
            }
        )
    return markdown(pd.DataFrame(rows))


def statement(claim: Claim) -> str:
    """What the paper says, and the test, as they stood before any number."""
    known = "when some results of these runs were known"
    when = known if claim.known else "before any of its numbers was known"
    return f"**The paper says:** {claim.says}\n\n**Test**, written {when}:\n\n{claim.test}"


def outcome(verdict: Verdict) -> str:
    """The comparisons of a test, its verdict and what was found."""
    rows = [
        {
            "comparison": ", ".join(filter(None, (finding.part, finding.detail))),
            "R": "" if finding.acceleration is None else f"{finding.acceleration:g}",
            "seeds": str(finding.seeds),
            "mean ± SD": _spread(finding),
            INTERVAL: _interval(finding),
            "outcome": finding.outcome if finding.decides else f"({finding.outcome})",
        }
        for finding in verdict.findings
    ]
    table = markdown(pd.DataFrame(rows)) + "\n\n" if rows else ""
    sentences = "\n".join(f"- {sentence}" for sentence in verdict.sentences)
    return f"{table}**Verdict: {verdict.verdict}.**\n\n{sentences}"


def baseline_table(table: RunTable) -> str:
    """A row for each way to choose a mask, at each R, and below it what was not run."""
    found, missing = baselines(table)
    rows = []
    for (place, lines), group in groupby(found, lambda b: (b.finding.acceleration, b.lines)):
        compared = list(group)
        both = {"R": f"{place:g}", "samples": "lines" if lines else "points"}
        own = compared[0].own
        rows.append(
            both | {"mask": "**4S**", "PSNR (dB)": mean_and_spread(own), "seeds": str(len(own))}
        )
        for other in compared:
            warned = f" ({other.warned} with a warning)" * (other.warned > 0)
            rows.append(
                both
                | {
                    "mask": f"{other.name}{warned}",
                    "PSNR (dB)": mean_and_spread(other.psnr),
                    "seeds": str(other.finding.seeds),
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


def _better(finding: Finding) -> str:
    low, high = finding.interval
    if low > 0:
        return "4S is better"
    return "this mask is better" if high < 0 else "no difference shown"


def _label(finding: Finding) -> str:
    """R or a task, and the number of the part: ``R = 4 (1a): ``; empty without either."""
    part = re.match(r"(\(.*?\))?( \w+(?=:))?", finding.part)
    label = f"{finding.place} {part[0] if part else ''}".strip()
    return f"{label}: ".replace(" ", SPACE) if label else ""


def _spread(finding: Finding) -> str:
    """Mean and standard deviation over seeds, with significant digits: units differ by test."""
    if np.isnan(finding.deviation):
        return number(finding.mean)
    return f"{number(finding.mean)} ± {number(finding.deviation, 2)}".replace(" ", SPACE)


def _interval(finding: Finding) -> str:
    low, high = map(number, finding.interval)
    return low if np.isnan(finding.interval).all() else f"{low} to {high}".replace(" ", SPACE)
