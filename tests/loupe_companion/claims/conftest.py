"""Results for every method of the claims, made from one real run, to be changed by tests."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import Verdict
from loupe_companion.claims.verdicts import TESTS, judge_claim
from loupe_companion.profiles import find_profile
from loupe_companion.results import RunResult
from loupe_companion.sweep import run_sweep
from tests.common import smoke

SLOPES = (20, 200, 2000)


class World:
    """A result for every method of the claims at R = 4 and 8, for each seed.

    All are copies of one real run; a test changes some of them, by method, R and seed.
    """

    def __init__(
        self,
        template: RunResult,
        seeds: tuple[int, ...] = (0, 1, 2),
        slopes: tuple[int, ...] = SLOPES,
    ) -> None:
        self.profile = find_profile(
            "claims-smoke", accelerations=[4, 8], slopes=slopes, seed=list(seeds)
        )
        self.runs = {
            (method.name, r, seed): dataclasses.replace(
                template, config=self.profile.config(method, r, seed), warnings=()
            )
            for method in self.profile.methods
            for r in (4, 8)
            for seed in seeds
        }
        self.put(psnr=lambda key: 30 + key[2] % 3, slope=200.0)

    def put(self, pattern: str = ".*", r: int | None = None, **values: Any) -> "World":
        """Change results. A value may be a function of (method, R, seed), or one for each seed."""
        for key, run in self.runs.items():
            if re.fullmatch(pattern, key[0]) and r in (None, key[1]):
                given = {name: _value(value, key) for name, value in values.items()}
                self.runs[key] = _changed(run, **given)
        return self

    def drop(self, pattern: str, seeds: tuple[int, ...] = (0, 1, 2)) -> "World":
        self.runs = {
            key: run
            for key, run in self.runs.items()
            if not (re.fullmatch(pattern, key[0]) and key[2] in seeds)
        }
        return self

    def table(self) -> RunTable:
        return RunTable(self.runs.values(), self.profile)

    def verdict(self, number: int) -> Verdict:
        return judge_claim(list(TESTS)[number - 1], self.table())


def _value(value: Any, key: tuple[str, int, int]) -> Any:
    if callable(value):
        return value(key)
    return value[key[2] % 3] if isinstance(value, tuple) and len(value) == 3 else value


def _changed(run: RunResult, **values: Any) -> RunResult:
    """Fields of a result, or: psnr of all masks, topk, relaxed, kept (over budget), loss, path."""
    metrics = {mask: dict(found) for mask, found in run.metrics.items()}
    history = dict(run.history)
    for name in values.keys() & {"psnr", "topk", "relaxed"}:
        for mask in metrics if name == "psnr" else [name]:
            metrics[mask]["psnr"] = np.full(16, values[name])
        del values[name]
    if "kept" in values:
        kept = values.pop("kept")
        achieved = run.config.acceleration / kept if kept else np.inf
        metrics["threshold"]["achieved_acceleration"] = np.array(achieved)
    if "loss" in values:
        history["loss"] = np.array([1.0, values.pop("loss"), 0.9])
    if "path" in values:
        history["slope"] = np.array(values.pop("path"))
    return dataclasses.replace(run, metrics=metrics, history=history, **values)


def rows(table: str) -> list[dict[str, str]]:
    """A Markdown table as a list of rows."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    head, _, *body = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in body]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A real run of 4S of the smallest size."""
    return run_sweep([smoke()], tmp_path_factory.mktemp("runs"), progress=False)[0]


@pytest.fixture
def world(template: RunResult) -> World:
    return World(template)


@pytest.fixture
def later(template: RunResult) -> World:
    """The world with seeds that count for claim 3."""
    return World(template, seeds=(3, 4, 5))
