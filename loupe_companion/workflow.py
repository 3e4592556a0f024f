"""Start the repository's workflow for the packs of a sweep, which it trains side by side."""

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from loupe_lib.errors import InputError

WORKFLOW = Path(__file__).parents[1] / "workflow"
PROFILES = WORKFLOW / "profiles"


def has_workflow() -> bool:
    """Whether this is a copy of the repository, and Snakemake is installed."""
    return WORKFLOW.exists() and find_spec("snakemake") is not None


def cluster_device(cluster: str, device: str | None = None) -> str:
    """The kind of device on which a cluster trains, ``cpu`` or ``cuda``; by default its profile's.

    Raises:
        InputError: without the repository, Snakemake and its plugin, without such a profile, or
            for another kind of device.
    """
    if not has_workflow():
        raise InputError("a cluster needs a copy of the repository, with Snakemake installed")
    import yaml  # comes with Snakemake

    found = {file.parent.name: file for file in PROFILES.glob("*/device.yaml")}
    if cluster not in found:
        allowed = ", ".join(sorted(found))
        raise InputError(f"cluster must be one of {allowed} in {PROFILES}; got {cluster!r}")
    settings = yaml.safe_load((PROFILES / cluster / "config.yaml").read_text("utf-8"))
    plugin = f"snakemake-executor-plugin-{settings['executor']}"
    if find_spec(plugin.replace("-", "_")) is None:
        raise InputError(
            f"the cluster needs {plugin}: pip install it; for Slurm, make .venv/.slurm"
        )
    kind = device or yaml.safe_load(found[cluster].read_text("utf-8"))["device"]
    if kind not in ("cpu", "cuda"):
        raise InputError(f"device must be cpu or cuda on a cluster; got {kind!r}")
    return str(kind)


def train_in_workflow(
    markers: Sequence[Path], runs: Path, data: Path | None, device: str, cluster: str | None = None
) -> None:
    """Train packs as jobs of a workflow, on this machine or on a cluster.

    Args:
        markers: of the packs, see :func:`loupe_companion.packs.write_packs`.
        runs: the run store.
        data: image file, if not the embedded heads.
        device: ``cpu`` or ``cuda``.
        cluster: its profile in ``workflow/profiles``.

    Raises:
        InputError: if runs failed; Snakemake has printed which, and why.
    """
    command = [sys.executable, "-m", "snakemake", *(str(file.resolve()) for file in markers)]
    command += ["--snakefile", str(WORKFLOW / "Snakefile"), "--directory", str(runs.resolve())]
    command += ["--profile", str(PROFILES / (cluster or "local")), "--config"]
    command += [f"runs={runs.resolve()}", f"device={device}", f"parent={os.getpid()}"]
    command += [f"data={data.resolve()}"] if data else []
    # The profile of a cluster names a file from the top of the repository.
    if subprocess.run(command, cwd=WORKFLOW.parent).returncode:
        raise InputError("not all runs were trained; the reasons are above")
