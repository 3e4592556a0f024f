"""Every claim put to its test, and the verdicts."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from loupe_companion.beyond.experiment import read_record
from loupe_companion.claims import (
    adapted_masks,
    against_best,
    beyond_mri,
    interior_maximum,
    returned_slope,
    settings,
    soft_masks,
    thresholding,
    trained_slope,
)
from loupe_companion.claims.run_table import Evidence
from loupe_companion.claims.statistics import (
    NOT_RUN,
    NOT_TESTABLE,
    OUTCOMES,
    UNDECIDED,
    Claim,
    Finding,
    NotRun,
    NotTestable,
    Verdict,
    overall,
    seeds_to_decide,
)

Judge = Callable[[Evidence], tuple[list[Finding], list[str]]]
_TESTS: tuple[tuple[Claim, Judge], ...] = (
    (soft_masks.CLAIM, soft_masks.judge),
    (interior_maximum.CLAIM, interior_maximum.judge),
    (against_best.CLAIM, against_best.judge),
    (adapted_masks.CLAIM, adapted_masks.judge),
    (returned_slope.CLAIM, returned_slope.judge),
    (thresholding.CLAIM, thresholding.judge),
    (settings.CLAIM, settings.judge),
    (trained_slope.CLAIM, trained_slope.judge),
)


def judge(evidence: Evidence, beyond: Path | None = None) -> list[Verdict]:
    """Put every claim to its test, in the order of the table.

    Args:
        evidence: the runs that are there; what is missing gives the verdict ``not run``.
        beyond: results of ``python -m loupe_companion beyond``; there may be no such file.

    Raises:
        InputError: if that file is no such results.
    """
    return [*(_twice(claim, test, evidence) for claim, test in _TESTS), _beyond(beyond)]


def _twice(claim: Claim, test: Judge, evidence: Evidence) -> Verdict:
    """All runs first, then once more without those that carry a warning."""
    how = evidence.how(claim.methods)
    verdict = _verdict(claim, lambda: test(evidence), how)
    warned = evidence.warned(claim.methods)
    if not warned or verdict.verdict == NOT_RUN:
        return verdict
    second = _verdict(claim, lambda: test(evidence.without_warnings()), how)
    without = f"*{second.verdict}*" if second.verdict != NOT_RUN else "too few seeds are left"
    names = ", ".join(map(evidence.profile.label, warned))
    sentence = f"Of its runs {len(warned)} carry a warning ({names}); without them: {without}."
    return dataclasses.replace(verdict, sentences=(*verdict.sentences, sentence))


def _beyond(path: Path | None) -> Verdict:
    how = "To train them: `python -m loupe_companion beyond --out results/beyond.json`."

    def test() -> tuple[list[Finding], list[str]]:
        if path is None or not path.exists():
            raise NotRun("there is no results file")
        return beyond_mri.judge(read_record(path))

    return _verdict(beyond_mri.CLAIM, test, how)


def _verdict(
    claim: Claim, test: Callable[[], tuple[list[Finding], list[str]]], how: str
) -> Verdict:
    """What a test comes to; ``how`` tells how to run what it lacks."""
    try:
        findings, sentences = test()
    except NotRun as error:
        return Verdict(claim, NOT_RUN, (f"Runs are missing: {error}.", how))
    except NotTestable as error:
        return Verdict(claim, NOT_TESTABLE, (f"{error}.",))
    outcomes = [finding.outcome for finding in findings if finding.decides]
    return Verdict(claim, overall(outcomes), (_tally(findings), *sentences), tuple(findings))


def _tally(findings: Sequence[Finding]) -> str:
    """How many comparisons came out how; of those undecided, how many lean against the claim."""
    decisive = [finding for finding in findings if finding.decides]
    counts = []
    for outcome in OUTCOMES:
        some = [finding for finding in decisive if finding.outcome == outcome]
        against = sum(not f.region[0] < f.mean < f.region[1] for f in some)
        leaning = f" (the mean of {against} speaks against the claim)"
        if some:
            counts.append(
                f"{len(some)} {outcome}{leaning * (outcome == UNDECIDED and against > 0)}"
            )
    text = f"Comparisons that decide: {', '.join(counts)}."
    needed = max((seeds_to_decide(f) for f in decisive if f.outcome == UNDECIDED), default=0)
    if 0 < needed < math.inf:
        text += f" Were means and spreads to stay, {needed:.0f} seeds would decide them all."
    return text
