"""The commands ``data ...``, which make and inspect image files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loupe_companion.cli_shared import ProfileName, numbers, stoppable

if TYPE_CHECKING:
    from loupe_lib.data.images import Images
    from loupe_lib.data.importing import Report

app = typer.Typer(help="Make and inspect image files.", no_args_is_help=True)


Out = Annotated[Path, typer.Option(help="Image file (HDF5) to write; replaces another.")]


@app.command()
def heads(
    out: Out,
    profile_name: ProfileName = "quick",
    seed: Annotated[int, typer.Option(help="Seed of the virtual subjects.")] = 0,
) -> None:
    """Write the cohort of virtual subjects, drawn from the embedded heads, as an image file."""
    from loupe_companion.sources import load_images, load_profile
    from loupe_lib.data.images import is_image_file, write_images
    from loupe_lib.data.storage import check_target

    check_target(out, is_image_file)
    images = load_images(load_profile(profile_name, data_seed=seed).configs()[0])
    write_images(images, out)
    _describe(images)


@app.command()
def synthetic(
    folder: Annotated[Path, typer.Argument(help="Folder to write, new or empty.")],
    train: Annotated[int, typer.Option(help="Volumes for training, at least 6.")] = 8,
    val: Annotated[int, typer.Option(help="Volumes for validation, at least 1.")] = 3,
    test: Annotated[int, typer.Option(help="Undersampled volumes, as published for the test.")] = 1,
    size: Annotated[int, typer.Option(help="Rows and columns of the images.")] = 320,
    slices: Annotated[int, typer.Option(help="Slices of a volume.")] = 36,
    coils: Annotated[
        int | None, typer.Option(help="Number of coils; without it the files are single-coil.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the virtual subjects.")] = 0,
) -> None:
    """Write a synthetic fastMRI folder, made from the embedded heads, free to share."""
    from loupe_companion.synthetic_fastmri import write_fastmri
    from loupe_lib.errors import InputError

    if train < 6 or val < 1:  # some patients have several volumes, and half show CORPD_FBK
        raise InputError(
            "train must be at least 6 and val at least 1, so that `data fastmri` finds a patient "
            f"for each of three splits; got {train} and {val}"
        )
    for path in write_fastmri(
        folder, train, val, test, size=size, slices=slices, coils=coils, seed=seed
    ):
        print(path)


Seed = Annotated[int, typer.Option(help="Seed of the choice of volumes; the paper gives none.")]
ListTo = Annotated[
    Path | None,
    typer.Option(
        "--list",
        help="Write the chosen volumes, splits and SHA-256 to this file.",
    ),
]
FromList = Annotated[
    Path | None,
    typer.Option(help="Take exactly the volumes of such a list, whatever split and seed."),
]
Subject = Annotated[
    str | None,
    typer.Option(
        help="Who a volume is of: a regular expression for its path (the first group, or else the "
        "whole match), or FILE.csv:COLUMN, where the first column names the volume or its file."
    ),
]


@app.command()
@stoppable()
def fastmri(
    root: Annotated[Path, typer.Argument(help="Folder of fastMRI, or one file of it.")],
    out: Out,
    size: Annotated[int, typer.Option(help="Side of the images; the paper's is 320.")] = 320,
    acquisition: Annotated[
        str, typer.Option(help="Which scans to choose from, separated by commas.")
    ] = "CORPD_FBK",
    split: Annotated[
        str, typer.Option(help="Slices for training, validation and test; the paper's by default.")
    ] = "1895,188,186",
    seed: Seed = 0,
    keep_complex: Annotated[
        bool,
        typer.Option("--complex", help="Keep measured, complex images; only for single-coil data."),
    ] = False,
    list_to: ListTo = None,
    from_list: FromList = None,
    subject: Subject = None,
    skip_bad: Annotated[
        bool,
        typer.Option(help="Leave out files that are damaged, or on which HDF5 crashes, and go on."),
    ] = False,
) -> None:
    """Write the paper's subset of your copy of fastMRI as an image file.

    ROOT holds .h5 files as published, single-coil or multi-coil, knee or brain, in sub-folders.
    Archives are to be unpacked first: tar -xf NAME -C FOLDER.

    An image is a slice of reconstruction_esc where there is one, else the magnitude of the inverse
    FFT of kspace, cropped to the size in the header, root of the sum of squares over coils. It is
    cropped at the centre to SIZE, or gets zeros around it, and is divided by the maximum of its
    volume, which is taken before the crop.

    The paper has 2269 proton density images, 1895 / 188 / 186, in volumes of
    about 40 slices, and names neither the volumes nor a seed. Chosen here: CORPD_FBK, without fat
    suppression; whole patients, none in two splits, in the order of the SHA-256 of seed and
    patient. A split misses its number of slices by part of a patient; the report says by how much.
    With fewer slices than asked for, the numbers are scaled in proportion.

    Files without images, such as those of the test sets, are left out, and the report lists them. A
    file that is damaged, or on which HDF5 crashes, ends the command, unless --skip-bad is given.

    If it is stopped, the same command goes on. The image file appears when it is complete.
    """
    from loupe_lib.data.importing import Selection, import_fastmri

    selection = Selection(tuple(numbers("split", split)), seed, from_list, list_to, subject)
    kinds = [name.strip() for name in acquisition.split(",")]
    _show(import_fastmri(root, out, selection, kinds, size, keep_complex, skip_bad))


def _show(report: "Report") -> None:
    """Print the report of a conversion, with its warnings, and the name of its file."""
    from loupe_companion.data_report import describe

    print(f"{describe(report)}\n\n{report.target.path}")


@app.command("import")
@stoppable()
def import_images(
    files: Annotated[
        list[Path],
        typer.Argument(help=".nii, .nii.gz, .npy, .h5 or DICOM files, or folders of DICOM."),
    ],
    out: Out,
    axis: Annotated[
        str | None,
        typer.Option(
            help="Along which slices lie: axial, coronal or sagittal for NIfTI (axial by default) "
            "and DICOM (as acquired by default); 0, 1 or 2 for arrays (0 by default)."
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the stack in HDF5 files.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the images; holds every slice by default.")
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(
            help="Number, description or UID of the series, of several in a DICOM folder."
        ),
    ] = None,
    echo: Annotated[
        int | None, typer.Option(help="Which echo, of several in a DICOM series: 1 is the first.")
    ] = None,
    clip_negative: Annotated[
        bool, typer.Option("--clip-negative", help="Set pixels below 0 to 0.")
    ] = False,
    split: Annotated[
        str, typer.Option(help="Fractions, or numbers of slices, of train, validation and test.")
    ] = "0.8,0.1,0.1",
    seed: Seed = 0,
    list_to: ListTo = None,
    from_list: FromList = None,
    subject: Subject = None,
) -> None:
    """Write your own volumes as an image file: NIfTI, DICOM, .npy or HDF5.

    Each file is one volume, and so is a folder, which holds one DICOM series. Slices are cropped
    at the centre to SIZE, or get zeros around them, and are divided by the maximum of their
    volume; a volume with pixels below 0 is refused, or clipped by --clip-negative.

    No patient is in two splits. A patient is whom a DICOM file names, or what sub-... at the
    beginning of a file's name says (BIDS); else each file is of another patient. If they say it in
    another way, say how by --subject.

    NIfTI and DICOM need the extra "images". If it is stopped, the same command goes on.
    """
    from loupe_lib.data.importing import Selection, import_files

    selection = Selection(tuple(numbers("split", split)), seed, from_list, list_to, subject)
    report = import_files(files, out, selection, axis, dataset, size, series, echo, clip_negative)
    _show(report)


@app.command()
def show(file: Annotated[Path, typer.Argument(help="Image file.")]) -> None:
    """Check an image file and say what is in it."""
    from loupe_lib.data.images import read_images

    _describe(read_images(file))


def _describe(images: "Images") -> None:
    from loupe_lib.data.images import SPLITS
    from loupe_lib.data.volumes import count_of

    kind = ", complex" if images.is_complex else ""
    print(f"{images.source}: {images.size} x {images.size}{kind}")
    for name in SPLITS:
        split = getattr(images, name)
        slices, volumes = count_of(len(split.images), "slice"), count_of(len(split.names), "volume")
        print(f"{name:>10}: {slices} in {volumes}")
