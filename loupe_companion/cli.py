"""The command line: ``python -m loupe_companion``, a command for each stage."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from loupe_companion.bench import run_bench, table
from loupe_companion.cli_data import app as data_app
from loupe_companion.cli_shared import Data, ProfileName, stoppable
from loupe_companion.estimate import estimate
from loupe_companion.evaluation import evaluate as evaluate_model
from loupe_companion.export import KINDS, ORDERS
from loupe_companion.export import export_mask as write_mask
from loupe_companion.results import RunResult, collected_names, read_results
from loupe_companion.sources import load_images, load_profile
from loupe_companion.sweep import collect, result_file, run_sweep, shared_results, stored_runs
from loupe_lib.data.images import read_images
from loupe_lib.errors import InputError
from loupe_lib.training.config import RunConfig
from loupe_lib.training.device import find_device
from loupe_lib.training.run import read_weights

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
    int | None, typer.Option(help="p: epochs without a lower loss before a raise.")
]
Factor = Annotated[float | None, typer.Option(help="m: the slope is multiplied by it.")]
Weights = Annotated[Path, typer.Argument(help="weights.safetensors of a trained run.")]


def main() -> None:
    """Run the command line; a user's mistake is one line and exit status 2."""
    try:
        app(standalone_mode=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


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
    seed: Annotated[int, typer.Option(help="Of weights, order of images, and masks.")] = 0,
    data: Data = None,
    runs: Runs = Path("runs"),
    device: Device = None,
) -> None:
    """Train one model, with 4S or at a fixed slope."""
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
    _print_results(run_sweep([config], runs, data, device), chosen.label)
    print(result_file(runs, config).parent / "weights.safetensors")


@app.command()
@stoppable()
def sweep(
    profile_name: ProfileName = "quick",
    accelerations: Annotated[
        str | None, typer.Option(help="R, separated by commas; the profile's by default.")
    ] = None,
    slopes: Annotated[
        str | None,
        typer.Option(help="Fixed slopes, separated by commas, '' for none; 4S comes in any case."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Separated by commas.")] = None,
    methods: Annotated[
        str | None,
        typer.Option(help="Names, separated by commas, such as 's=200,4S'; all by default."),
    ] = None,
    patience: Patience = None,
    factor: Factor = None,
    data: Data = None,
    runs: Runs = Path("runs"),
    out: Annotated[
        Path | None, typer.Option(help="HDF5 file of all results; RUNS/PROFILE.h5 by default.")
    ] = None,
    device: Device = None,
) -> None:
    """Train fixed slopes and 4S at every acceleration, and the other methods of 'claims'.

    What is trained already, in the run store or in OUT, is not trained again. Results that OUT
    holds of other runs stay in it, so that a long sweep can be done in parts.
    """
    chosen = load_profile(
        profile_name,
        data,
        accelerations=_numbers("accelerations", accelerations, float),
        slopes=_numbers("slopes", slopes, float),
        seed=_numbers("seeds", seeds, int),
        methods=None if methods is None else methods.split(","),
        patience=patience,
        factor=factor,
    )
    path = out or runs / f"{profile_name}.h5"
    shared = {r.config.name: r for r in shared_results(chosen)}
    mine = [config for config in chosen.configs() if config.name not in shared]
    held = collected_names(path)
    print(estimate([config for config in mine if config.name not in held], runs, device))
    collect(mine, runs, path, chosen.pictures, data, device)
    found = shared | {r.config.name: r for r in read_results(path, {c.name for c in mine})}
    results = [found[config.name] for config in chosen.configs()]
    _print_results(results, chosen.label)
    print(path)


@app.command("runs")
def list_runs(runs: Runs = Path("runs")) -> None:
    """List what the run store holds."""
    for config, finished in stored_runs(runs):
        print(f"{config.name}  {'finished' if finished else 'begun   '}  {config.label}")


@app.command()
def bench(
    smoke: Annotated[bool, typer.Option("--smoke", help="Tiny sizes, seconds on a CPU.")] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file to write as well.")] = None,
) -> None:
    """Time a training step: plain PyTorch, this project's, and the ceilings of the card."""
    print(table(run_bench(smoke, out)))


@app.command()
def beyond(
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    smoke: Annotated[bool, typer.Option("--smoke", help="A few epochs of a few runs.")] = False,
) -> None:
    """Fixed slopes and 4S in layers beyond MRI: pixels of digits, filters of textures.

    160 trainings of some seconds each, as many side by side as there are cores.
    """
    from loupe_companion.beyond.experiment import run_experiment
    from loupe_companion.beyond.tables import accuracy_table

    print(accuracy_table(run_experiment(out, smoke)).to_string(index=False))


@app.command()
def evaluate(
    weights: Weights,
    data: Data = None,
    mask: Annotated[str, typer.Option(help="threshold or topk.")] = "threshold",
    device: Device = None,
) -> None:
    """Measure a trained model on the test images: its own, or those of another image file."""
    model, config = read_weights(weights)
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
    out: Annotated[Path, typer.Option(help="A .npy (float32) or .png file.")],
    kind: Annotated[
        str, typer.Option(help=f"{', '.join(KINDS)}; topk keeps exactly N*N/R samples.")
    ] = "threshold",
    order: Annotated[
        str, typer.Option(help=f"{', '.join(ORDERS)}: DC in the middle, or at [0, 0].")
    ] = "centred",
) -> None:
    """Write the learned mask as an array or a picture."""
    model, config = read_weights(weights)
    achieved = write_mask(model.mask, out, kind, order)
    print(f"{out}: {config.size} x {config.size}, {kind}, {order}, achieved R={achieved:.3f}")


def _numbers(name: str, text: str | None, kind: type) -> list[Any] | None:
    if text is None:
        return None
    if not text:
        return []
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{name} must be numbers separated by commas; got {text!r}") from None


def _print_results(results: list[RunResult], label: Callable[[RunConfig], str]) -> None:
    width = 2 + max(len(label(r.config)) for r in results)
    print("test PSNR in dB (mean over slices), and the R that each mask achieves")
    print(f"{'run':<{width}}{'slope':>9}{'threshold':>11}{'R':>7}{'topk':>7}{'soft':>7}")
    for r in results:
        print(
            f"{label(r.config):<{width}}{r.slope:>9.0f}{r.psnr():>11.2f}{r.achieved_acceleration():>7.2f}"
            f"{r.psnr('topk'):>7.2f}{r.soft_share:>7.1%}  {'; '.join(r.warnings)}"
        )
