"""How fast a training step is: the card's ceilings, plain PyTorch, and this project."""

import dataclasses
import gc
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from loupe_companion.profiles import find_profile
from loupe_companion.provenance import get_provenance
from loupe_lib.cuda import trainer_for
from loupe_lib.data.storage import write_file
from loupe_lib.errors import InputError
from loupe_lib.loupe import Loupe
from loupe_lib.training.device import find_device
from loupe_lib.training.model import build_model
from loupe_lib.training.trainer import PlainTrainer, Trainer


@dataclass(frozen=True)
class Plan:
    """What is measured, and how often."""

    shapes: tuple[tuple[int, int], ...]  # (N, w) of a single model
    pack: tuple[int, int, int]  # (K, N, w) of models trained together
    batch: int
    matrix: int  # side of the matrices whose product is the ceiling
    copied: int  # bytes of the copy
    warm_up: int
    steps: int


FULL = Plan(((320, 64), (320, 32), (160, 32), (128, 16)), (14, 128, 16), 16, 8192, 2**30, 3, 15)
SMOKE = Plan(((32, 4),), (2, 32, 4), 4, 256, 2**20, 1, 3)


def run_bench(smoke: bool = False, out: Path | None = None) -> dict[str, Any]:
    """Measure on the GPU, or for ``smoke`` in seconds on whatever there is.

    A step is that of batch 16 with forward and backward pass, mask draw and Adam. 'Plain' is
    eager float32 PyTorch with its defaults, 'project' what a sweep trains with on this device.

    Args:
        smoke: tiny sizes.
        out: JSON file to write the result to.

    Returns:
        Device and versions; ``ceilings``; ``steps``, a row a shape; ``pack``. Times are medians
        in milliseconds with their quartiles, rates follow from the medians, FLOPs are torch's
        count of the plain step for both, memory is the peak in GiB (None on a CPU).

    Raises:
        InputError: without a GPU, unless ``smoke``; or if ``out`` cannot be written.
    """
    device = find_device()
    if device.type == "cpu" and not smoke:
        raise InputError("bench needs a GPU; without one use --smoke")
    plan = SMOKE if smoke else FULL
    ceilings = _ceilings(plan, device)
    steps = [_compare(plan, size, width, ceilings, device) for size, width in plan.shapes]
    result = {
        **get_provenance(device),
        "smoke": smoke,
        "batch": plan.batch,
        "ceilings": ceilings,
        "steps": steps,
        "pack": _pack(plan, steps, ceilings, device),
    }
    if out is not None:
        write_file(out, (json.dumps(result, indent=1) + "\n").encode())
    return result


def table(result: dict[str, Any]) -> str:
    """The result of :func:`run_bench` for people."""
    ceilings = result["ceilings"]
    lines = [
        f"{result['device']}, torch {result['packages']['torch']}, batch {result['batch']}",
        f"matrix product {ceilings['tflops']:.3g} TFLOP/s, copy {ceilings['tb_per_s']:.3g} TB/s",
        "",
        f"{'N':>3} {'w':>2} {'models':>6} {'step':>5} {'ms':>19} {'images/s':>8} "
        f"{'TFLOP/s':>7} {'ceiling':>7} {'GiB':>5} {'x plain':>7}",
    ]
    rows = [(row, kind, 1) for row in result["steps"] for kind in ("plain", "project")]
    for row, kind, models in [*rows, (result["pack"], "project", result["pack"]["models"])]:
        cell = row[kind]
        spread = f"{cell['ms']:.2f} ({cell['quartiles'][0]:.2f}-{cell['quartiles'][1]:.2f})"
        step = cell["learner"].removesuffix("Trainer").lower()
        memory = "-" if cell["peak_gib"] is None else f"{cell['peak_gib']:.2f}"
        ratio = f"{row['ratio']:.2f}" if kind == "project" else ""
        lines.append(
            f"{row['size']:>3} {row['width']:>2} {models:>6} {step:>5} {spread:>19} "
            f"{cell['images_per_s']:>8.0f} {cell['tflops']:>7.3g} {cell['share']:>7.1%} "
            f"{memory:>5} {ratio:>7}"
        )
    pack = result["pack"]
    lines.append(f"together {pack['ms_per_model']:.3g} ms a model and step")
    return "\n".join(lines)


def _ceilings(plan: Plan, device: torch.device) -> dict[str, Any]:
    """What the card itself can do: bfloat16 matrix product, and copy (bytes read and written)."""
    left, right = torch.randn(2, plan.matrix, plan.matrix, device=device).bfloat16()
    product = _time(lambda: left @ right, plan, device)
    source = torch.randint(256, (plan.copied,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = _time(lambda: target.copy_(source), plan, device)
    return {
        "product": product,
        "tflops": 2 * plan.matrix**3 / product["ms"] / 1e9,
        "copy": copy,
        "tb_per_s": 2 * plan.copied / copy["ms"] / 1e9,
    }


def _compare(
    plan: Plan, size: int, width: int, ceilings: dict[str, Any], device: torch.device
) -> dict[str, Any]:
    """One model, plain and as the project trains it."""
    trainer, indices = _trainer(PlainTrainer, plan, 1, size, width, device)
    # Here, not above: it fails to import under TYPE_CHECKING, which Sphinx sets for the reference.
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        trainer.step(indices)
    del trainer
    flops = counter.get_total_flops()
    plain, project = (
        _measure(kind, plan, 1, size, width, flops, ceilings, device)
        for kind in (PlainTrainer, trainer_for(device))
    )
    return {
        "size": size,
        "width": width,
        "flops": flops,
        "plain": plain,
        "project": project,
        "ratio": plain["ms"] / project["ms"],
    }


def _pack(
    plan: Plan, steps: list[dict[str, Any]], ceilings: dict[str, Any], device: torch.device
) -> dict[str, Any]:
    """Several models together; compared with as many plain steps one after the other."""
    models, size, width = plan.pack
    single = next(row for row in steps if (row["size"], row["width"]) == (size, width))
    trainer = trainer_for(device)
    found = _measure(trainer, plan, models, size, width, single["flops"], ceilings, device)
    return {
        "models": models,
        "size": size,
        "width": width,
        "project": found,
        "ms_per_model": found["ms"] / models,
        "ratio": models * single["plain"]["ms"] / found["ms"],
    }


def _measure(
    kind: type[Trainer], plan: Plan, models: int, size: int, width: int, flops: int,
    ceilings: dict[str, Any], device: torch.device,
) -> dict[str, Any]:  # fmt: skip
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    trainer, indices = _trainer(kind, plan, models, size, width, device)
    spread = _time(lambda: trainer.step(indices), plan, device)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
    tflops = models * flops / spread["ms"] / 1e9
    return {
        **spread,
        "learner": kind.__name__,
        "images_per_s": 1000 * models * plan.batch / spread["ms"],
        "tflops": tflops,
        "share": tflops / ceilings["tflops"],
        "peak_gib": peak,
    }


def _trainer(
    kind: type[Trainer], plan: Plan, models: int, size: int, width: int, device: torch.device
) -> tuple[Trainer, torch.Tensor]:
    """A trainer of fresh models on random images, and the batch of each."""
    config = dataclasses.replace(find_profile("smoke").configs()[0], size=size, width=width)
    seeds = range(models)
    trained: list[Loupe] = [build_model(dataclasses.replace(config, seed=k), device) for k in seeds]
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2 * plan.batch, size, size, generator=generator).to(device)
    indices = torch.stack([torch.randperm(len(images), generator=generator) for _ in seeds])
    trainer = kind(trained, images, [config.learning_rate] * models)
    return trainer, indices[:, : plan.batch].contiguous().to(device)


def _time(run: Callable[[], object], plan: Plan, device: torch.device) -> dict[str, Any]:
    """Milliseconds of one run: the median of many in a row, and the quartiles."""
    for _ in range(plan.warm_up):
        run()
    if device.type == "cuda":
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(plan.steps + 1)]
        marks[0].record()
        for mark in marks[1:]:
            run()
            mark.record()
        torch.cuda.synchronize()
        times = [a.elapsed_time(b) for a, b in pairwise(marks)]
    else:
        ticks = [time.perf_counter()]
        for _ in range(plan.steps):
            run()
            ticks.append(time.perf_counter())
        times = [1000 * (b - a) for a, b in pairwise(ticks)]
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return {"ms": median, "quartiles": [low, high]}
