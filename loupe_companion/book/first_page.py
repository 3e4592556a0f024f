"""The answer on the first page of the book: Fig. 3, and a line for each claim."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from loupe_companion.claims.statistics import (
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    NOT_RUN,
    NOT_TESTABLE,
    UNDECIDED,
    deciding,
    label,
    number,
    requirement,
)
from loupe_companion.claims.tables import COMPARISON
from loupe_companion.results import RunResult
from loupe_companion.tables import CONFIDENCE, markdown

MAIN = 3  # the number of the paper's main claim
DIGITS = 2  # the page of the claims has more
# Each verdict as the verb of one claim, and of several.
VERBS = {
    HOLDS: (HOLDS, "hold"),
    IN_PART: (IN_PART, "hold in part"),
    DOES_NOT_HOLD: (DOES_NOT_HOLD, "do not hold here"),
    UNDECIDED: ("is undecided", "are undecided"),
    NOT_TESTABLE: ("is not testable here", "are not testable here"),
    NOT_RUN: ("was not run", "were not run"),
}

# The picture comes before the claims on a phone, and stands beside them on a wide screen.
ANSWER = """\
**Answer: the claim {verdict}.**{main} Of the {n} claims of the paper, {counts}.

::::{{grid}} 12
:::{{grid-item}}
:columns: 12 12 5 5
:class: caption
```{{image}} {picture}
:alt: Test PSNR against slope, reproduced; fixed slopes in blue, 4S in yellow
:target: ../notebooks/fig3.html
```

[Fig. 3](../notebooks/fig3.ipynb) reproduced: image quality against slope. {size} x {size} pixels,
mean and standard deviation over {seeds} seeds. 4S is shown at the slopes that it returned. The
answer counts later seeds, because the start of 4S was chosen with these in view.
:::
:::{{grid-item}}
:columns: 12 12 7 7
:class: claims

{claims}

*n*: number of seeds. *Undecided*: the interval lies partly within the values that the claim
requires. *1 of 4*: one of four comparisons is shown.
:::
::::
"""


def answer(record: Path, results: Sequence[RunResult], picture: str) -> str:
    """The answer of the book in Markdown.

    Args:
        record: the verdicts, a file of the format ``loupe-verdicts``, version 1.
        results: the runs that the picture shows.
        picture: its file, relative to the page.
    """
    claims = json.loads(record.read_text("utf-8"))["claims"]
    counts = Counter(claim["verdict"] for claim in claims)
    (main,) = (claim for claim in claims if claim["number"] == MAIN)
    return ANSWER.format(
        n=len(claims),
        counts=", ".join(
            f"{counts[name]} {VERBS[name][counts[name] > 1]}" for name in VERBS if counts[name]
        ),
        verdict=VERBS[main["verdict"]][0],
        main=_sentence(main),
        picture=picture,
        size=results[0].config.size,
        seeds=len({result.config.seed for result in results}),
        claims=_table(claims),
    )


def _sentence(claim: Mapping[str, Any]) -> str:
    """The number of the main claim in words, and what it has to be; empty if it was not run."""
    finding = _named(claim)
    if finding is None:
        return ""
    side = "below" if finding["mean"] < 0 else "above"
    low, high = (number(bound, DIGITS) for bound in finding["interval"])
    unit, where = finding["unit"], _what(finding).partition(", ")[2]
    where = re.sub(r"N = (\d+)", r"\1 x \1 pixels", where)
    # Its comparisons are of the same number, such as "(2) better: 4S minus best fixed s".
    asked = "".join(
        f" *{each['outcome'].capitalize()}*: {_what(each).partition(': ')[0]} (interval "
        f"{requirement(*_region(each), unit)})."
        for each in claim["findings"]
        if each["acceleration"] == finding["acceleration"]
    )
    return (
        f" The test PSNR of 4S is **{number(abs(finding['mean']), DIGITS)} {unit} {side}** that of "
        f"the best fixed slope ({where}; {finding['detail']}; {CONFIDENCE:.0%} interval {low} to "
        f"{high} {unit}; {finding['n']} seeds).{asked}"
    )


def _table(claims: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for claim in claims:
        counted = [(finding["outcome"], finding["n"]) for finding in claim["findings"]]
        finding = _named(claim)
        rows.append(
            {
                "claim of the paper": f"{{ref}}`{claim['title']} <claim-{claim['number']}>`",
                "verdict": f"**{label(claim['verdict'], counted)}**",
                COMPARISON: "" if finding is None else _value(finding),
            }
        )
    return markdown(pd.DataFrame(rows))


def _named(claim: Mapping[str, Any]) -> dict[str, Any] | None:
    """The comparison that stands beside the verdict of a claim; None if it was not run."""
    findings: list[dict[str, Any]] = list(claim["findings"])
    index = deciding(claim["verdict"], [finding["outcome"] for finding in findings])
    return None if index is None else findings[index]


def _value(finding: Mapping[str, Any]) -> str:
    """What was compared; below it the mean and its interval."""
    low, high = (number(bound, DIGITS) for bound in finding["interval"])
    mean = f"{number(finding['mean'], DIGITS)} {finding['unit']}".strip()
    return f"{_what(finding).split(': ')[-1]}:<br>{mean} [{low}, {high}]"


def _what(finding: Mapping[str, Any]) -> str:
    """What a comparison is about, and at which R."""
    where = "" if finding["acceleration"] is None else f", R = {finding['acceleration']:g}"
    return re.sub(r"^\(\d\) ", "", finding["part"]) + where


def _region(finding: Mapping[str, Any]) -> tuple[float, float]:
    low, high = finding["region"]
    return -math.inf if low is None else low, math.inf if high is None else high
