"""The workflow: its graph of rules, as the book shows it, and what it refuses."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from loupe_companion.workflow import cluster_device
from loupe_lib.errors import InputError
from tests.common import ROOT, run_workflow, workflow

pytest.importorskip("snakemake", reason="Snakemake is not installed")


def edges(nodes: dict[str, str], pairs: list[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(nodes[source], nodes[target]) for source, target in pairs}


def rule_graph(folder: Path, **config: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The rules that make the book in an empty folder, by number, and which needs which."""
    done = run_workflow(folder, "--rulegraph", **config)
    assert done.returncode == 0, done.stderr
    nodes = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', done.stdout, re.MULTILINE))
    return nodes, re.findall(r"^\s*(\d+) -> (\d+)", done.stdout, re.MULTILINE)


def test_the_picture_of_the_rules_is_that_of_the_workflow(tmp_path):
    nodes, pairs = rule_graph(tmp_path)
    assert {"train", "collect", "book"} < set(nodes.values())

    picture = (ROOT / "book/_static/workflow.svg").read_text("utf-8")
    shown = dict(re.findall(r"<title>(\d+)</title>.*?<text[^>]*>(\w+)</text>", picture, re.DOTALL))
    arrows = re.findall(r"<title>(\d+)&#45;&gt;(\d+)</title>", picture)
    again = "snakemake --rulegraph | dot -Tsvg > book/_static/workflow.svg, in an empty store"
    assert sorted(shown.values()) == sorted(nodes.values()), again
    assert edges(shown, arrows) == edges(nodes, pairs), again


def test_the_kept_book_trains_nothing(tmp_path):
    nodes, _ = rule_graph(tmp_path, profile="kept")
    assert set(nodes.values()) == {"kept_notebook", "stage", "book"}


def test_settings_that_the_workflow_does_not_have_are_refused(tmp_path):
    done = run_workflow(tmp_path, "--dry-run", seeds=1)
    assert done.returncode == 1
    allowed = "data, device, output, profile, runs"
    assert f"--config must be some of {allowed}; got seeds. For slopes, seeds" in done.stdout


def test_a_device_that_packs_cannot_be_planned_for_is_refused(tmp_path):
    done = run_workflow(tmp_path, "--dry-run", device="gpu")
    assert done.returncode == 1
    assert "device must be cpu or cuda; got gpu" in done.stdout


def test_an_image_file_that_is_missing_is_said_without_a_traceback(tmp_path):
    done = run_workflow(tmp_path, "--dry-run", data=tmp_path / "none.h5")
    assert done.returncode == 1
    assert f"cannot read {tmp_path / 'none.h5'}: No such file" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_book_keeps_snapshots_by_default_and_a_sweep_does_not(tmp_path):
    command = workflow(tmp_path, "--dry-run", "--printshellcmds", "--quiet", "host")
    command.remove("profile=smoke")
    for config, count in {"device=cpu": 8, f"parent={os.getpid()}": 0}.items():
        done = subprocess.run([*command, config], capture_output=True, text=True)
        assert done.stdout.count("train-pack") == 8, done.stderr
        assert done.stdout.count(" --snapshots") == count


def test_a_cluster_without_a_profile_is_refused():
    with pytest.raises(InputError, match=r"cluster must be one of slurm in .*; got 'lsf'"):
        cluster_device("lsf")
    assert cluster_device("slurm") == "cuda" and cluster_device("slurm", "cpu") == "cpu"
    with pytest.raises(InputError, match="device must be cpu or cuda on a cluster; got 'tpu'"):
        cluster_device("slurm", "tpu")
