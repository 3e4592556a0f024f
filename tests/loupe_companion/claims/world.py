"""Results for every method of the claims, made from one real run, to be changed by tests."""

import dataclasses
import re
from typing import Any

import numpy as np

from loupe_companion.claims.run_table import RunTable
from loupe_companion.claims.statistics import Verdict
from loupe_companion.claims.verdicts import TESTS, judge_claim
from loupe_companion.profiles import Profile, find_profile
from loupe_companion.results import RunResult

SLOPES = (20, 200, 2000)


class World:
    """A result for every method of the claims at R = 4 and 8, three seeds, all equal at first.

    Made from one real run: a test changes what it is about, by method, R and seed.
    """

    def __init__(self, template: RunResult) -> None:
        self.profile: Profile = find_profile(
            "claims-smoke", accelerations=[4, 8], slopes=SLOPES, seed=[0, 1, 2]
        )
        self.runs = {
            (method.name, r, seed): dataclasses.replace(
                template, config=self.profile.config(method, r, seed), warnings=()
            )
            for method in self.profile.methods
            for r in (4, 8)
            for seed in (0, 1, 2)
        }
        self.put(psnr=lambda key: 30 + key[2], slope=lambda key: 200.0)

    def put(self, pattern: str = ".*", r: int | None = None, **values: Any) -> "World":
        """Change results. A value may be a function of (method, R, seed), or one for each seed."""
        for key, run in self.runs.items():
            if re.fullmatch(pattern, key[0]) and r in (None, key[1]):
                given = {name: _value(value, key) for name, value in values.items()}
                self.runs[key] = changed(run, **given)
        return self

    def drop(self, pattern: str, seeds: tuple[int, ...] = (0, 1, 2)) -> "World":
        self.runs = {
            key: run
            for key, run in self.runs.items()
            if not (re.fullmatch(pattern, key[0]) and key[2] in seeds)
        }
        return self

    def table(self, images: Any = None) -> RunTable:
        return RunTable(self.runs.values(), self.profile, images)

    def verdict(self, number: int, images: Any = None) -> Verdict:
        claim, test = TESTS[number - 1]
        return judge_claim(claim, test, self.table(images))


def _value(value: Any, key: tuple[str, int, int]) -> Any:
    if callable(value):
        return value(key)
    return value[key[2]] if isinstance(value, tuple) and len(value) == 3 else value


def changed(run: RunResult, **values: Any) -> RunResult:
    """Fields of a result, or: psnr of all masks, topk, relaxed, kept (over budget), loss, path."""
    metrics = {mask: dict(found) for mask, found in run.metrics.items()}
    history = dict(run.history)
    for name in ("psnr", "topk", "relaxed"):
        if name in values:
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
