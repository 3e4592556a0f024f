"""Every claim put to its test, and the verdicts."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
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
from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import (
    MIN_SEEDS,
    NOT_RUN,
    NOT_TESTABLE,
    OUTCOMES,
    POWER,
    UNDECIDED,
    Claim,
    Finding,
    Findings,
    NotRun,
    NotTestable,
    Verdict,
    overall,
    seeds_to_decide,
)

TESTS: dict[Claim, Callable[[RunTable], Findings]] = {
    soft_masks.CLAIM: soft_masks.judge,
    interior_maximum.CLAIM: interior_maximum.judge,
    against_best.CLAIM: against_best.judge,
    adapted_masks.CLAIM: adapted_masks.judge,
    returned_slope.CLAIM: returned_slope.judge,
    thresholding.CLAIM: thresholding.judge,
    settings.CLAIM: settings.judge,
    trained_slope.CLAIM: trained_slope.judge,
}


def judge(table: RunTable, smaller: RunTable | None = None) -> list[Verdict]:
    """Put claims 1 to 8 to their tests; where runs are missing the verdict is ``not run``.

    Args:
        table: the runs.
        smaller: runs at a smaller size, whose new seeds count for claim 3 too.
    """
    return [judge_claim(claim, table, smaller) for claim in TESTS]


def judge_claim(claim: Claim, table: RunTable, smaller: RunTable | None = None) -> Verdict:
    """Put a claim to its test: all runs first, then once more without those with a warning."""
    test = TESTS[claim]
    if claim is against_best.CLAIM:
        test = partial(against_best.judge, smaller=smaller)
    methods = table.methods(*claim.families)
    how = table.how(methods)
    verdict = _judge(claim, test(table), how)
    warned = table.warned(methods)
    if not warned or verdict.verdict == NOT_RUN:
        return verdict
    second = _judge(claim, test(table.only(lambda run: not run.warnings)), how).verdict
    left = f"fewer than {MIN_SEEDS} seeds are left"
    without = left if second == NOT_RUN else f"the verdict is *{second}*"
    names = ", ".join(table.profile.label(run.config) for run in warned)
    have, them = ("run has", "it") if len(warned) == 1 else ("runs have", "them")
    sentence = f"{len(warned)} {have} a warning ({names}). Without {them}, {without}."
    return dataclasses.replace(verdict, sentences=(*verdict.sentences, sentence))


def judge_beyond(path: Path) -> Verdict:
    """Put claim 9 to its test, on the results file of ``python -m loupe_companion beyond``.

    Raises:
        InputError: if the file is there but not valid.
    """
    claim = beyond_mri.CLAIM
    how = "To train them: `python -m loupe_companion beyond --out results/beyond.json`."
    if not path.exists():
        return Verdict(claim, NOT_RUN, (f"Runs are missing: there is no {path}.", how))
    return _judge(claim, beyond_mri.judge(read_record(path)), how)


def _judge(claim: Claim, test: Findings, how: str) -> Verdict:
    """The verdict of a test; ``how`` tells how to run what it lacks."""
    try:
        found = list(test)
    except NotRun as error:
        return Verdict(claim, NOT_RUN, (f"Runs are missing: {error}.", how))
    except NotTestable as error:
        return Verdict(claim, NOT_TESTABLE, (f"{error}.",))
    findings = tuple(item for item in found if isinstance(item, Finding))
    sentences = [item for item in found if isinstance(item, str)]
    counted = [finding for finding in findings if finding.decides]
    verdict = overall([finding.outcome for finding in counted])
    return Verdict(claim, verdict, (_tally(counted), *sentences), findings)


def _tally(findings: Sequence[Finding]) -> str:
    """How many comparisons have each outcome, and how many seeds would decide the rest."""
    outcomes = [finding.outcome for finding in findings]
    counts = [f"{outcomes.count(each)} {each}" for each in OUTCOMES if each in outcomes]
    text = f"Comparisons that count for the verdict: {', '.join(counts)}"
    undecided = [finding for finding in findings if finding.outcome == UNDECIDED]
    against = sum(not f.region[0] < f.mean < f.region[1] for f in undecided)
    if against:
        text += f" ({against} of them with a mean that contradicts the claim)"
    needed = max(map(seeds_to_decide, undecided), default=math.inf)
    if math.isfinite(needed):
        text += (
            f". {needed:.0f} seeds would decide each of them with a probability of at least "
            f"{POWER:.0%}"
        )
    return f"{text}."
