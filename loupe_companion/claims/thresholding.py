"""Claim 6: thresholding costs much at a low slope and nothing under 4S."""

from loupe_companion.claims.run_table import FIXED_SLOPES, Evidence
from loupe_companion.claims.statistics import Claim, Finding, compare
from loupe_companion.results import RunResult

MUCH, NOTHING = 1.0, 0.1  # dB
LEAST, MOST = 0.9, 1.1  # samples, relative to the budget N*N/R

CLAIM = Claim(
    number=6,
    title="Thresholding costs much at low s, nothing under 4S",
    says="At a low s thresholding changes the mask that the decoder was trained on, and "
    "that costs quality; 4S fossilizes the mask, and the cost goes.",
    test=f"""\
The cost is the test PSNR with relaxed random masks, as in training, minus that with the
thresholded mask of the same run. At each R, over seeds:

1. at the lowest fixed slope the cost is above {MUCH:g} dB;
2. under 4S it is below {NOTHING:g} dB, which no eye sees (a thresholded mask that does *better*
   than the random ones passes);
3. under 4S thresholding keeps the budget: the number of samples over $N^2/R$ lies between {LEAST:g}
   and {MOST:g}.""",
    short="PSNR, relaxed minus thresholded (dB), at the lowest slope and under 4S; samples "
    "over budget",
    known=True,
    methods=f"{FIXED_SLOPES}|4S",
)


def judge(evidence: Evidence) -> tuple[list[Finding], list[str]]:
    """Put claim 6 to its test."""
    findings, sentences = [], []
    for r in evidence.accelerations:
        lowest, runs = next(iter(evidence.grid(r).items()))
        soft, shrunk = runs.values(), evidence.runs(r, "4S").values()
        findings += [
            compare("(1) cost at the lowest s (dB)", r, list(map(cost, soft)), low=MUCH),
            compare("(2) cost under 4S (dB)", r, list(map(cost, shrunk)), high=NOTHING),
            compare("(3) samples over budget, 4S", r, list(map(over_budget, shrunk)), LEAST, MOST),
        ]
        much, little, samples = findings[-3:]
        kept = sum(map(over_budget, soft)) / len(soft)
        sentences.append(
            f"At R = {r:g} thresholding costs {much.mean:.2f} dB at s = {lowest:g}, where it keeps "
            f"{kept:.2f} of the budget, and {little.mean:.2f} dB under 4S, where it keeps "
            f"{samples.mean:.2f}."
        )
    return findings, sentences


def cost(run: RunResult) -> float:
    """PSNR with relaxed masks minus that with the thresholded one, in dB."""
    return run.psnr("relaxed") - run.psnr()


def over_budget(run: RunResult) -> float:
    """How many samples the thresholded mask keeps, over N*N/R; 0 for an empty mask."""
    return run.config.acceleration / run.achieved_acceleration()
