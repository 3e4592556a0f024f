"""The verdicts on the kept results, as a file: ``python -m loupe_companion.claims.record``.

Layout of ``results/verdicts.json`` (format ``loupe-verdicts`` version 1): ``claims`` lists each
claim with ``number``, ``title``, ``verdict``, ``test`` (what is measured, in a line), ``sources``
(results files) and ``findings``: the comparisons that count for the verdict, each with ``part``,
``unit``, ``acceleration`` (null where R does not matter), ``n`` seeds, ``mean``, ``sd``,
``interval`` of the mean, ``region`` of values that support the claim (null: no bound; in claim 5,
where either sign supports it, two), ``outcome`` and ``detail``, such as which slope was the best.
"""

import json
import math
from pathlib import Path
from typing import Any

from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import Finding, Verdict
from loupe_companion.claims.verdicts import judge, judge_beyond
from loupe_companion.profiles import find_profile
from loupe_companion.results import KEPT, read_results
from loupe_lib.data.storage import write_file

REFERENCE = ("reference.h5", "claims.h5")  # N = 128
SMALL = "*-small.h5"  # N = 64
BEYOND = "beyond.json"
SOURCES = {3: (*REFERENCE, SMALL), 9: (BEYOND,)}  # those of claims that need other files
FILE = "verdicts.json"


def kept_tables(folder: Path) -> tuple[RunTable, RunTable]:
    """The kept runs of a folder of results, at N = 128 and at N = 64."""
    small = sorted(path.name for path in folder.glob(SMALL))
    return (_table(folder, "claims", REFERENCE), _table(folder, "claims-small", small))


def kept_verdicts(folder: Path) -> list[Verdict]:
    """The verdicts on all claims, from the results in a folder."""
    return [*judge(*kept_tables(folder)), judge_beyond(folder / BEYOND)]


def record(verdicts: list[Verdict]) -> dict[str, Any]:
    """The verdicts in JSON types."""
    return {
        "format": "loupe-verdicts",
        "version": 1,
        "claims": [
            {
                "number": verdict.claim.number,
                "title": verdict.claim.title,
                "verdict": verdict.verdict,
                "test": verdict.claim.short,
                "sources": list(SOURCES.get(verdict.claim.number, REFERENCE)),
                "findings": [*map(_finding, verdict.counted)],
            }
            for verdict in verdicts
        ],
    }


def _table(folder: Path, profile: str, files: tuple[str, ...] | list[str]) -> RunTable:
    results = [run for name in files for run in read_results(folder / name)]
    return RunTable(results, find_profile(profile))


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "part": finding.part,
        "unit": finding.unit,
        "acceleration": finding.acceleration,
        "n": finding.seeds,
        "mean": finding.mean,
        "sd": finding.deviation,
        "interval": list(finding.interval),
        "region": [bound if math.isfinite(bound) else None for bound in finding.region],
        "outcome": finding.outcome,
        "detail": finding.detail,
    }


def main() -> None:
    text = json.dumps(record(kept_verdicts(KEPT)), indent=1, allow_nan=False)
    write_file(KEPT / FILE, f"{text}\n".encode())


if __name__ == "__main__":
    main()
