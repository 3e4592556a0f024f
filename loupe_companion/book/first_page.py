"""The answer on the first page of the book: Fig. 3, and a line for each claim."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from loupe_companion.book.build import BuildError
from loupe_companion.claims.statistics import (
    CONFIDENCE,
    DOES_NOT_HOLD,
    HOLDS,
    IN_PART,
    NOT_RUN,
    NOT_TESTABLE,
    UNDECIDED,
    number,
)
from loupe_companion.claims.tables import SPACE
from loupe_companion.results import RunResult
from loupe_companion.tables import markdown

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
**Answer: {verdict}{main}.** Of the {n} claims of the paper, {counts}.

::::{{grid}} 12
:::{{grid-item}}
:columns: 12 12 5 5
:class: caption
```{{image}} {picture}
:alt: Test PSNR against slope, reproduced; fixed slopes in blue, 4S in yellow
:target: ../notebooks/fig3.html
```

[Fig. 3](../notebooks/fig3.ipynb) reproduced: image quality against slope. {size} x {size} pixels,
mean and standard deviation over {seeds} seeds. 4S is shown at the slopes that it returned.
:::
:::{{grid-item}}
:columns: 12 12 7 7
:class: claims

{claims}
:::
::::
"""


def answer(record: Path, results: Sequence[RunResult], picture: str) -> str:
    """The answer of the book in Markdown.

    Args:
        record: the verdicts, a file of the format ``loupe-verdicts``, version 1.
        results: the runs that the picture shows.
        picture: its file, relative to the page.

    Raises:
        BuildError: if there is no such file, or it has another format.
    """
    claims = _read(record)
    counts = Counter(claim["verdict"] for claim in claims)
    (main,) = (claim for claim in claims if claim["number"] == MAIN)
    what, value = _measured(main)
    what = what.split(": ")[-1]  # without the name of the part, such as "not worse"
    return ANSWER.format(
        n=len(claims),
        counts=", ".join(
            f"{counts[name]} {VERBS[name][counts[name] > 1]}" for name in VERBS if counts[name]
        ),
        verdict=main["verdict"],
        main=f".** Test PSNR, {what}: **{value}" * bool(value),
        picture=picture,
        size=results[0].config.size,
        seeds=len({result.config.seed for result in results}),
        claims=_table(claims),
    )


def _read(record: Path) -> list[dict[str, Any]]:
    if not record.exists():
        raise BuildError(f"there is no {record}, which has the verdicts on the claims")
    content = json.loads(record.read_text("utf-8"))
    if (content.get("format"), content.get("version")) != ("loupe-verdicts", 1):
        raise BuildError(f"{record} is not a file of the format loupe-verdicts, version 1")
    claims: list[dict[str, Any]] = content["claims"]
    return claims


def _table(claims: Sequence[Mapping[str, Any]]) -> str:
    heading = f"measured: mean [{CONFIDENCE:.0%} interval], number of seeds"
    rows = []
    for claim in claims:
        what, value = _measured(claim)
        rows.append(
            {
                "claim of the paper": f"{{ref}}`{claim['title']} <claim-{claim['number']}>`",
                "verdict": f"**{claim['verdict']}**",
                heading: f"{what}:<br>{value}" * bool(value),
            }
        )
    return markdown(pd.DataFrame(rows))


def _measured(claim: Mapping[str, Any]) -> tuple[str, str]:
    """What the first number of a claim's test is, and its value; both empty if it was not run."""
    if not claim["findings"]:
        return "", ""
    finding = claim["findings"][0]
    unit = finding["unit"]
    what = re.sub(r"^\(\w+\) ", "", finding["part"]).removesuffix(f" ({unit})")
    where = "" if finding["acceleration"] is None else f", R = {finding['acceleration']:g}"
    mean = f"{number(finding['mean'], DIGITS)} {unit}".strip()
    low, high = finding["interval"]
    interval = "" if low is None else f" [{number(low, DIGITS)}, {number(high, DIGITS)}]"
    return what + where, f"{mean}{interval}, n{SPACE}={SPACE}{finding['n']}"
