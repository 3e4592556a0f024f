"""The workflow's graph of rules, as the book shows it."""

import re

import pytest

from tests.common import ROOT, run_workflow

pytest.importorskip("snakemake", reason="Snakemake is not installed")


def edges(nodes: dict[str, str], pairs: list[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(nodes[source], nodes[target]) for source, target in pairs}


def test_the_picture_of_the_rules_is_that_of_the_workflow(tmp_path):
    done = run_workflow(tmp_path, "--rulegraph")
    assert done.returncode == 0, done.stderr
    nodes = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', done.stdout, re.MULTILINE))
    pairs = re.findall(r"^\s*(\d+) -> (\d+)", done.stdout, re.MULTILINE)
    assert {"train", "collect", "book"} < set(nodes.values())

    picture = (ROOT / "book/_static/workflow.svg").read_text("utf-8")
    shown = dict(re.findall(r"<title>(\d+)</title>.*?<text[^>]*>(\w+)</text>", picture, re.DOTALL))
    arrows = re.findall(r"<title>(\d+)&#45;&gt;(\d+)</title>", picture)
    again = "snakemake --rulegraph | dot -Tsvg > book/_static/workflow.svg, in an empty store"
    assert sorted(shown.values()) == sorted(nodes.values()), again
    assert edges(shown, arrows) == edges(nodes, pairs), again
