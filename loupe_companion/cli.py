"""The command line: ``python -m loupe_companion``, a command for each stage.

Each command imports what it needs when it runs: ``--help`` then does not wait for torch.
"""

import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loupe_companion.cli_data import app as data_app
from loupe_companion.cli_shared import Data, ProfileName, check_new, check_out, numbers, stoppable
from loupe_companion.parent import exit_on_sigterm, exit_with_parent

if TYPE_CHECKING:
    from loupe_companion.results import RunResult
    from loupe_lib.loupe import Loupe
    from loupe_lib.training.config import RunConfig

app = typer.Typer(
    help="Learn which k-space samples to take (LOUPE), with self-shrinking sigmoid slopes (4S).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")

Runs = Annotated[Path, typer.Option(help="Folder of the run store.")]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, ...; a GPU if there is one, by default.")
]
Patience = Annotated[
    int | None, typer.Option(help="p: epochs without a lower loss before 4S raises the slope.")
]
Factor = Annotated[float | None, typer.Option(help="m: a raise multiplies the slope by it.")]
Snapshots = Annotated[
    bool,
    typer.Option(
        "--snapshots", help="Keep masks and a reconstruction of up to 40 epochs with the result."
    ),
]
Weights = Annotated[Path, typer.Argument(help="weights.safetensors of a trained run.")]


def main() -> None:
    """Run the command line; a user's mistake is one line and exit status 2."""
    try:
        app()
    except ValueError as error:
        from loupe_lib.errors import InputError

        if not isinstance(error, InputError):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _print_version(asked: bool) -> None:
    if asked:
        from loupe_lib import __version__

        print(f"loupe4s {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    parent: Annotated[
        int | None, typer.Option(help="End when the process with this number has ended.")
    ] = None,
) -> None:
    """Options of the program itself."""
    if parent is not None:
        exit_with_parent(parent)


@app.command()
@stoppable()
def train(
    acceleration: Annotated[float, typer.Option(help="R, at least 1.")] = 4,
    slope: Annotated[
        float | None, typer.Option(help="Fixed slope s. Without it 4S finds the slope.")
    ] = None,
    profile_name: ProfileName = "quick",
    patience: Patience = None,
    factor: Factor = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order of images, and masks.")] = 0,
    data: Data = None,
    runs: Runs = Path("runs"),
    device: Device = None,
    snapshots: Snapshots = False,
) -> None:
    """Train one model, with 4S or at a fixed slope."""
    from loupe_companion.sources import load_profile
    from loupe_companion.store import WEIGHTS, result_file
    from loupe_companion.sweep import run_sweep

    chosen = load_profile(
        profile_name,
        data,
        accelerations=[acceleration],
        slopes=[] if slope is None else [slope],
        seed=seed,
        patience=patience,
        factor=factor,
    )
    config = chosen.configs()[0]  # the fixed slope if there is one, else 4S
    found = run_sweep([config], runs, data, device, snapshots=snapshots)
    _print_results(found, chosen.label)
    print(result_file(runs, config).with_name(WEIGHTS))


@app.command()
@stoppable()
def sweep(
    profile_name: ProfileName = "quick",
    accelerations: Annotated[
        str | None, typer.Option(help="R, separated by commas; the profile's by default.")
    ] = None,
    slopes: Annotated[
        str | None,
        typer.Option(help="Fixed slopes, separated by commas, '' for none; 4S is always trained."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, separated by commas.")] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Methods of the profile, separated by commas, such as 's=200,4S'; all by default. "
            "The error for an unknown name lists them."
        ),
    ] = None,
    patience: Patience = None,
    factor: Factor = None,
    data: Data = None,
    runs: Runs = Path("runs"),
    out: Annotated[
        Path | None,
        typer.Option(
            help="HDF5 file of all results; RUNS/PROFILE.h5 by default.", callback=check_out
        ),
    ] = None,
    device: Device = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Train as jobs of a cluster: slurm, or another folder of workflow/profiles."
        ),
    ] = None,
) -> None:
    """Train the runs of a profile and collect their results.

    What the run store or OUT already has is not trained again. Results of other runs stay in OUT:
    a long sweep can be done in parts. In a copy of the repository with Snakemake, runs are trained
    side by side, as many as there are cores; elsewhere one after the other.
    """
    from loupe_companion.packs import write_packs
    from loupe_companion.sources import load_profile
    from loupe_companion.store import unfinished
    from loupe_companion.sweep import (
        collect_finished,
        collected_results,
        describe_work,
        extended_results,
        train_missing,
    )
    from loupe_companion.workflow import cluster_device, has_workflow, train_in_workflow
    from loupe_lib.training.device import device_name, find_device

    chosen = load_profile(
        profile_name,
        data,
        accelerations=numbers("accelerations", accelerations),
        slopes=numbers("slopes", slopes),
        seed=numbers("seeds", seeds, int),
        methods=None if methods is None else methods.split(","),
        patience=patience,
        factor=factor,
    )
    path = out or runs / f"{profile_name}.h5"
    found = {r.config: r for r in (*extended_results(chosen), *collected_results(path))}
    missing = [config for config in chosen.configs() if config not in found]
    todo = unfinished(missing, runs)
    if cluster:
        on, place = cluster_device(cluster, device), cluster
    else:
        where = find_device(device)
        on, place = str(where), device_name(where)
    work = describe_work(todo, place) if todo else "nothing to train: all runs are there"
    print(work, flush=True)
    if todo and (cluster or (len(todo) > 1 and has_workflow())):
        markers = write_packs(todo, on.partition(":")[0], runs)
        train_in_workflow(markers, runs, data, on, cluster)
    elif todo:
        train_missing(todo, runs, data, on)
    if missing:
        collect_finished(missing, runs, path, chosen.pictures)
        found |= {r.config: r for r in collected_results(path)}
    _print_results([found[config] for config in chosen.configs()], chosen.label)
    print(path)


@app.command()
@stoppable()
def train_pack(
    pack: Annotated[Path, typer.Argument(help="File of a pack, RUNS/packs/NAME.json.")],
    data: Data = None,
    device: Device = None,
    snapshots: Snapshots = False,
) -> None:
    """Train the runs of one pack: a job of the workflow.

    Finished runs are not trained again. NAME.done is written when all runs have their results. In a
    Slurm job, it fails if another process trains the runs that are left: its GPU must not idle.
    """
    from loupe_companion.packs import Pack, marker
    from loupe_companion.packs import train_pack as train_runs
    from loupe_lib.data.storage import write_file
    from loupe_lib.training.device import find_device

    exit_on_sigterm()
    where = find_device(device)
    # On CPUs several jobs share a terminal, and their bars would overwrite each other.
    bar = where.type == "cuda"
    patience = 60 if "SLURM_JOB_ID" in os.environ else math.inf  # seconds
    train_runs(Pack.read(pack), pack.parent.parent, data, where, bar, snapshots, patience)
    write_file(marker(pack), b"")


@app.command()
def collect(
    out: Annotated[Path, typer.Option(help="HDF5 file of all results.", callback=check_out)],
    profile_name: ProfileName = "quick",
    data: Data = None,
    runs: Runs = Path("runs"),
) -> None:
    """Collect the results of a profile's finished runs: a job of the workflow. Trains nothing."""
    from loupe_companion.sources import load_profile
    from loupe_companion.sweep import collect_finished

    chosen = load_profile(profile_name, data)
    collect_finished(chosen.configs(), runs, out, chosen.pictures)


@app.command("runs")
def list_runs(runs: Runs = Path("runs")) -> None:
    """List what the run store holds.

    Of each run: its name, whether it is finished, its data (heads, or the first 12 digits of the
    image file's SHA-256), the side N of the images, the width w of the U-Net, and its method.
    """
    from loupe_companion.store import stored_runs

    found = stored_runs(runs)
    if not found:
        print(f"no runs in {runs}")
    for config, finished in found:
        state = "finished" if finished else "begun"
        size = f"N={config.size} w={config.width}"
        print(f"{config.name}  {state:<8}  {config.data[:12]:<12}  {size:<11}  {config.label}")


@app.command()
def bench(
    smoke: Annotated[bool, typer.Option("--smoke", help="Tiny sizes, seconds on a CPU.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write as well.", callback=check_new)
    ] = None,
) -> None:
    """Time a training step: plain PyTorch, this project's, and the ceilings of the device."""
    from loupe_companion.bench import run_bench, table

    print(table(run_bench(smoke, out)))


@app.command()
def beyond(
    out: Annotated[Path, typer.Option(help="JSON file to write.", callback=check_new)],
    parts: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of some seeds each: merge them into OUT, and train nothing."),
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="A few epochs of a few runs.")] = False,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, separated by commas; all by default.")
    ] = None,
) -> None:
    """Fixed slopes and 4S in layers beyond MRI: pixels of digits, filters of textures.

    160 trainings of some seconds each, one after the other. The rule `beyond` of the workflow
    trains the seeds side by side.
    """
    from loupe_companion.beyond.experiment import merge_records, run_experiment
    from loupe_companion.beyond.tables import accuracy_table

    if parts:
        record = merge_records(parts, out)
    else:
        record = run_experiment(out, smoke, numbers("seeds", seeds, int))
    if len(record.plan.seeds) > 1:  # which the table compares
        print(accuracy_table(record).to_string(index=False))


@app.command()
def evaluate(
    weights: Weights,
    data: Data = None,
    mask: Annotated[str, typer.Option(help="threshold or topk.")] = "threshold",
    device: Device = None,
) -> None:
    """Measure a trained model on the test images: its own, or those of another image file."""
    from loupe_companion.evaluation import evaluate as evaluate_model
    from loupe_companion.sources import load_images
    from loupe_lib.data.images import read_images
    from loupe_lib.errors import InputError
    from loupe_lib.training.device import find_device

    model, config = _read_model(weights)
    images = load_images(config, None) if data is None else read_images(data)
    if images.size != config.size:
        raise InputError(f"the model takes images of side {config.size}; {data} has {images.size}")
    if mask not in ("threshold", "topk"):
        raise InputError(f"mask must be one of threshold, topk; got {mask!r}")
    found = evaluate_model(model.to(find_device(device)), images.test, mask)
    print(f"{config.label}, {mask} mask, {len(images.test.images)} test slices of {images.source}")
    for name, values in found.items():
        print(f"{name:>24}: {values.mean():.4f}")


@app.command()
def export_mask(
    weights: Weights,
    out: Annotated[Path, typer.Option(help="A .npy (float32) or .png file.", callback=check_new)],
    kind: Annotated[
        str,
        typer.Option(help="threshold, topk (keeps exactly N*N/R samples) or probabilities."),
    ] = "threshold",
    order: Annotated[
        str, typer.Option(help="centred (DC in the middle) or fft (DC at [0, 0]).")
    ] = "centred",
) -> None:
    """Write the learned mask as an array or a picture."""
    from loupe_companion.export import export_mask as write_mask

    model, config = _read_model(weights)
    achieved = write_mask(model.mask, out, kind, order)
    print(f"{out}: {config.size} x {config.size}, {kind}, {order}, achieved R={achieved:.3f}")


def _read_model(weights: Path) -> tuple["Loupe", "RunConfig"]:
    from loupe_companion.store import WEIGHTS
    from loupe_lib.errors import InputError
    from loupe_lib.training.checkpoint import read_weights

    if weights.is_file() and weights.suffix != Path(WEIGHTS).suffix:
        raise InputError(f"{weights} is not a trained model; give the {WEIGHTS} of a run")
    return read_weights(weights)


def _print_results(results: Sequence["RunResult"], label: Callable[["RunConfig"], str]) -> None:
    import pandas as pd

    rows = [
        {
            "slope": f"{r.slope:.0f}",
            "threshold": f"{r.psnr():.2f}",
            "R": f"{r.achieved_acceleration():.2f}",
            "topk": f"{r.psnr('topk'):.2f}",
            "soft": f"{r.soft_share:.1%}",
            "warnings": "; ".join(r.warnings),
        }
        for r in results
    ]
    print("threshold, topk: test PSNR in dB with that mask (mean over slices)")
    print("R: achieved by thresholding; soft: fraction of relaxed masks' entries in (0.05, 0.95)")
    print(pd.DataFrame(rows, [label(r.config) for r in results]).to_string())
