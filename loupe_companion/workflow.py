"""Start the repository's workflow for the packs of a sweep, which it trains side by side."""

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from loupe_companion.packs import marker
from loupe_lib.errors import InputError

WORKFLOW = Path(__file__).parents[1] / "workflow"


def has_workflow() -> bool:
    """Whether this is a copy of the repository, and Snakemake is installed."""
    return WORKFLOW.exists() and find_spec("snakemake") is not None


def train_in_workflow(packs: Sequence[Path], runs: Path, data: Path | None, device: str) -> None:
    """Train packs as jobs of a workflow on this machine.

    Args:
        packs: their files, see :func:`loupe_companion.packs.write_packs`.
        runs: the run store.
        data: image file, if not the embedded heads.
        device: ``cpu`` or ``cuda``.

    Raises:
        InputError: if runs failed; Snakemake has printed which, and why.
    """
    command = [sys.executable, "-m", "snakemake", *(str(marker(pack.resolve())) for pack in packs)]
    command += ["--snakefile", str(WORKFLOW / "Snakefile"), "--directory", str(runs)]
    command += ["--profile", str(WORKFLOW / "profiles" / "local"), "--config"]
    command += [f"runs={runs.resolve()}", f"device={device}"]
    command += [f"data={data.resolve()}"] if data else []
    if subprocess.run(command).returncode:
        raise InputError("not all runs were trained; the reasons are above")
