"""How fast a training step is: the device's ceilings, plain PyTorch, and this project."""

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from loupe_companion.profiles import find_profile
from loupe_companion.provenance import get_provenance
from loupe_lib.cuda import trainer_for
from loupe_lib.data.storage import write_file
from loupe_lib.training.device import find_device
from loupe_lib.training.model import build_model
from loupe_lib.training.trainer import PlainTrainer, Trainer


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long."""

    shapes: tuple[tuple[int, int], ...]  # (N, w) of a single model
    models: int  # trained together, of the last shape
    batch: int
    matrix: int  # side of the matrices whose product is the ceiling
    copied: int  # bytes of the copy
    seconds: float  # of each measurement, at least


GPU = Plan(((320, 64), (320, 32), (160, 32), (128, 16)), 14, 16, 8192, 2**30, 2.0)
CPU = Plan(((128, 16),), 1, 16, 2048, 2**28, 20.0)  # the shape of the profile `reference`
SMOKE = Plan(((32, 4),), 2, 4, 256, 2**20, 0.05)
# The table's headings, and the cells under them.
COLUMNS = {
    "N": "{size}",
    "w": "{width}",
    "models": "{models}",
    "step": "{step}",
    "ms": "{ms:.2f} ({quartiles[0]:.2f}-{quartiles[1]:.2f})",
    "images/s": "{images_per_s:.0f}",
    "TFLOP/s": "{tflops:.3g}",
    "ceiling": "{share:.1%}",
    "GiB": "{peak_gib}",
    "x plain": "{ratio:.2f}",
}


def run_bench(smoke: bool = False, out: Path | None = None) -> dict[str, Any]:
    """Time training steps on this machine; on a CPU of one shape.

    A step is forward and backward pass, mask draw and Adam. 'Plain' is eager float32 PyTorch with
    its defaults, 'project' what a sweep trains with on this device. A CPU uses one thread, as it
    does in a sweep.

    Args:
        smoke: tiny sizes, which take seconds.
        out: JSON file to write the result to.

    Returns:
        Device and versions; ``ceilings``; ``steps``, a row a shape; ``pack``. Times are medians
        in milliseconds with their quartiles, rates follow from the medians, FLOPs are torch's
        count of the plain step for both, memory is the peak in GiB (None on a CPU).

    Raises:
        InputError: if ``out`` cannot be written.
    """
    device = find_device()
    full = GPU if device.type == "cuda" else CPU
    plan, project = SMOKE if smoke else full, trainer_for(device)
    ceilings = _ceilings(plan)
    steps = []
    for size, width in plan.shapes:
        row: dict[str, Any] = {"size": size, "width": width, "flops": _flops(plan, size, width)}
        row["plain"] = _measure(plan, PlainTrainer, 1, row, ceilings["tflops"])
        row["project"] = _measure(plan, project, 1, row, ceilings["tflops"])
        row["ratio"] = row["plain"]["ms"] / row["project"]["ms"]
        steps.append(row)
    pack = _measure(plan, project, plan.models, row, ceilings["tflops"])
    result = {
        **get_provenance(device),
        "smoke": smoke,
        "batch": plan.batch,
        "ceilings": ceilings,
        "steps": steps,
        "pack": {
            "models": plan.models,
            "size": size,
            "width": width,
            "project": pack,
            "ms_per_model": pack["ms"] / plan.models,
            "ratio": plan.models * row["plain"]["ms"] / pack["ms"],
        },
    }
    if out is not None:
        write_file(out, (json.dumps(result, indent=1) + "\n").encode())
    return result


def table(result: dict[str, Any]) -> str:
    """The result of :func:`run_bench` as text."""
    ceilings, pack = result["ceilings"], result["pack"]
    measured = [(row, kind) for row in result["steps"] for kind in ("plain", "project")]
    if pack["models"] > 1:
        measured.append((pack, "project"))
    rows = []
    for row, kind in measured:
        cell = {"models": 1} | row | row[kind] | {"step": kind}
        cell["peak_gib"] = "-" if cell["peak_gib"] is None else f"{cell['peak_gib']:.2f}"
        cell["ratio"] = 1.0 if kind == "plain" else row["ratio"]
        rows.append({name: text.format(**cell) for name, text in COLUMNS.items()})
    return (
        f"{result['device']}, torch {result['packages']['torch']}, batch {result['batch']}\n"
        f"matrix product {ceilings['tflops']:.3g} TFLOP/s, copy {ceilings['tb_per_s']:.3g} TB/s\n\n"
        f"{pd.DataFrame(rows).to_string(index=False)}\n"
        f"together {pack['ms_per_model']:.3g} ms a model and step"
    )


def _ceilings(plan: Plan) -> dict[str, Any]:
    """What the device itself can do: bfloat16 matrix product, and copy (bytes read and written)."""
    left, right = torch.randn(2, plan.matrix, plan.matrix, device=find_device()).bfloat16()
    product = _time(plan, lambda: left @ right)
    source = torch.randint(256, (plan.copied,), dtype=torch.uint8, device=find_device())
    target = torch.empty_like(source)
    copy = _time(plan, lambda: target.copy_(source))
    return {
        "product": product,
        "tflops": 2 * plan.matrix**3 / product["ms"] / 1e9,
        "copy": copy,
        "tb_per_s": 2 * plan.copied / copy["ms"] / 1e9,
    }


def _flops(plan: Plan, size: int, width: int) -> int:
    """Floating-point operations of a plain step."""
    # Here, not above: it fails to import under TYPE_CHECKING, which Sphinx sets for the reference.
    from torch.utils.flop_counter import FlopCounterMode

    step = _step(plan, PlainTrainer, 1, size, width)
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def _measure(
    plan: Plan, kind: type[Trainer], models: int, row: dict[str, Any], ceiling: float
) -> dict[str, Any]:
    """A step of models that train together, of the shape and with the FLOPs of a row."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    spread = _time(plan, _step(plan, kind, models, row["size"], row["width"]))
    tflops = models * row["flops"] / spread["ms"] / 1e9
    return {
        **spread,
        "learner": kind.__name__,
        "images_per_s": 1000 * models * plan.batch / spread["ms"],
        "tflops": tflops,
        "share": tflops / ceiling,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 or None,
    }


def _step(
    plan: Plan, kind: type[Trainer], models: int, size: int, width: int
) -> Callable[[], Tensor]:
    """A training step of fresh models on random images."""
    profile = find_profile("smoke", methods=["4S"], seed=range(models), size=size, width=width)
    images = torch.rand(plan.batch, size, size, device=find_device())
    trained = [build_model(config, images.device) for config in profile.configs()]
    trainer = kind(trained, images, [config.learning_rate for config in profile.configs()])
    indices = torch.arange(plan.batch, device=images.device).repeat(models, 1)
    return lambda: trainer.step(indices)


def _time(plan: Plan, run: Callable[[], object]) -> dict[str, Any]:
    """Milliseconds of a run: the median and the quartiles of many."""
    timer = Timer("run()", globals={"run": run})
    timer.timeit(1)  # the first runs compile kernels and capture a graph
    measured = timer.blocked_autorange(min_run_time=plan.seconds)
    low, median, high = np.quantile(1000 * np.array(measured.times), (0.25, 0.5, 0.75)).tolist()
    return {"ms": median, "quartiles": [low, high]}
