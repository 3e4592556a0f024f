"""The command line: ``python -m loupe_lib data ...``, which makes and inspects image files."""

from pathlib import Path
from typing import Annotated

import typer

from loupe_lib.cli_shared import ProfileName
from loupe_lib.cohort import cohort
from loupe_lib.files import digest
from loupe_lib.images import SPLITS, Images, read_images, write_images
from loupe_lib.profiles import profile
from loupe_lib.synthetic_fastmri import write_fastmri

app = typer.Typer(help="Make and inspect image files.", no_args_is_help=True)


@app.command()
def heads(
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    profile_name: ProfileName = "quick",
    seed: Annotated[int, typer.Option(help="Of the virtual subjects.")] = 0,
) -> None:
    """Write the cohort of virtual subjects, drawn from the embedded heads, as an image file."""
    config = profile(profile_name).configs()[0]
    counts = {name: getattr(config, name) for name in SPLITS}
    images = cohort(config.size, seed=seed, **counts)
    write_images(images, out)
    _describe(images)


@app.command()
def synthetic(
    folder: Annotated[Path, typer.Argument(help="Folder to write; new, or empty.")],
    train: Annotated[int, typer.Option(help="Volumes for training.")] = 8,
    val: Annotated[int, typer.Option(help="Volumes for validation.")] = 3,
    test: Annotated[int, typer.Option(help="Undersampled volumes, as published for the test.")] = 1,
    size: Annotated[int, typer.Option(help="Rows and columns of the images.")] = 320,
    slices: Annotated[int, typer.Option(help="Slices of a volume.")] = 36,
    coils: Annotated[
        int | None, typer.Option(help="Number of coils; without it the files are single-coil.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the virtual subjects.")] = 0,
) -> None:
    """Write a synthetic fastMRI folder, made from the embedded heads, that anybody may have."""
    for path in write_fastmri(
        folder, train, val, test, size=size, slices=slices, coils=coils, seed=seed
    ):
        print(path)


@app.command()
def show(file: Annotated[Path, typer.Argument(help="Image file.")]) -> None:
    """Check an image file and say what is in it."""
    _describe(read_images(file))
    print(f"SHA-256 {digest(file)}")


def _describe(images: Images) -> None:
    print(f"{images.source}: {images.size} x {images.size}")
    for name in SPLITS:
        split = getattr(images, name)
        print(f"{name:>10}: {len(split.images)} slices in {len(split.names)} volumes")
