"""The report of a conversion: the volumes found, used and left out."""

from collections.abc import Callable, Sequence

import pandas as pd

from loupe_lib.data.choice import wanted_slices
from loupe_lib.data.images import SPLITS
from loupe_lib.data.importing import Report
from loupe_lib.data.volumes import count_of

SHOWN = 3  # names of volumes that have the same warning, or were left out for the same reason


def plain(frame: pd.DataFrame) -> str:
    """A table as plain text, for a terminal."""
    return frame.to_string(index=False)


def describe(report: Report, table: Callable[[pd.DataFrame], str] = plain) -> str:
    """The report as sentences, tables and a list of warnings.

    Args:
        report: of the conversion.
        table: makes a table into text; :func:`~loupe_companion.tables.markdown` in a notebook.
    """
    used = _used(report)
    target = report.target
    kind = "complex" if target.is_complex else "magnitude"
    parts = [f"{target.title}: {kind} images, {target.size} x {target.size}"]
    asked = sum(report.selection.split)
    if report.selection.from_list is None and asked > _total(report):
        parts.append(
            f"There are fewer slices than the {asked:g} asked for: "
            "the three splits are scaled in proportion."
        )
    parts.append(table(_splits(report)))
    if report.selection.subject:
        subjects = used.groupby(["split", "subject"], sort=False)["volume"]
        parts.append(table(subjects.agg(volumes=", ".join).reset_index()))
    kinds = pd.DataFrame(
        [(v.kind, v.slices) for v in report.found], columns=["acquisition", "slices"]
    )
    kinds = kinds.groupby("acquisition")["slices"].agg(volumes="size", slices="sum").reset_index()
    kinds["volumes used"] = [(used["acquisition"] == name).sum() for name in kinds["acquisition"]]
    parts.append(table(kinds))
    shapes = used.groupby("shape")["volume"].agg(volumes="size").reset_index()
    shapes["shape"] = [f"{rows} x {columns}" for rows, columns in shapes["shape"]]
    parts.append(table(shapes.rename(columns={"shape": "rows x columns of the slices used"})))
    largest, mean = used["maximum"], used["mean"]
    parts.append(
        f"Largest magnitude of a volume: {largest.min():.4g} to {largest.max():.4g}; each volume "
        f"is divided by its own. Mean after that: {mean.min():.3f} to {mean.max():.3f}."
    )
    if report.left_out:
        left_out = pd.DataFrame(report.left_out.items(), columns=["name", "reason"])
        left_out = left_out.groupby("reason", sort=False)["name"]
        reasons = left_out.agg(volumes="size", which=_some).reset_index()
        parts.append(table(reasons.rename(columns={"reason": "left out because"})))
    if lines := warnings(report):
        parts.append("\n".join(f"- Warning: {text}" for text in lines))
    return "\n\n".join(parts)


def warnings(report: Report) -> list[str]:
    """One line for each kind of warning."""
    used = _used(report)
    each = used.explode("warnings").groupby("warnings", sort=False)["volume"]
    lines = [f"{text} ({_volumes(names)})" for text, names in each]
    sizes = used[used["spacing"] != ""].groupby("spacing", sort=False)["volume"]
    if len(sizes) > 1:
        found = [f"{size} mm ({_volumes(names)})" for size, names in sizes]
        lines.append(f"the voxel sizes differ: {_some(found)}")
    twice = (used.groupby("subject")["split"].nunique() > 1).sum()
    if twice:
        who = "1 patient is" if twice == 1 else f"{twice} patients are"
        lines.append(f"{who} in more than one split of the list")
    return lines


def _used(report: Report) -> pd.DataFrame:
    """The converted volumes, one a row."""
    return pd.DataFrame(
        {
            "split": one.split,
            "volume": one.name,
            "subject": one.patient,
            "acquisition": one.kind,
            "shape": one.shape,
            "spacing": " x ".join(f"{mm:.3g}" for mm in one.spacing or ()),
            "maximum": one.maximum,
            "mean": one.mean,
            "warnings": one.warnings,
        }
        for one in report.converted
    )


def _total(report: Report) -> int:
    """Slices to choose from."""
    return sum(volume.slices for volume in report.candidates)


def _splits(report: Report) -> pd.DataFrame:
    splits = [report.of(name) for name in SPLITS]
    counts = [sum(volume.slices for volume in volumes) for volumes in splits]
    wanted = [round(n) for n in wanted_slices(_total(report), report.selection.split)]
    if report.selection.from_list:
        wanted = counts
    return pd.DataFrame(
        {
            "split": SPLITS,
            "slices wanted": "as listed" if report.selection.from_list else wanted,
            "slices": counts,
            "volumes": [len(volumes) for volumes in splits],
            "patients": [len({volume.patient for volume in volumes}) for volumes in splits],
            "difference in slices": [n - m for n, m in zip(counts, wanted, strict=True)],
        }
    )


def _volumes(names: pd.Series) -> str:
    return f"{count_of(len(names), 'volume')}: {_some(names)}"


def _some(names: Sequence[str] | pd.Series) -> str:
    more = ", ..." if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
