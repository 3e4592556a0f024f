"""The report of a conversion: the volumes found, used and left out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from loupe_lib.data.conversion import Converted
from loupe_lib.data.images import SPLITS
from loupe_lib.data.volumes import LeftOut, Volume

Key = TypeVar("Key")
SHOWN = 3  # names of volumes that have the same warning, or were left out for the same reason


@dataclass(frozen=True)
class Report:
    """The outcome of a conversion.

    Attributes:
        title: of the images.
        size: side of the images.
        is_complex: whether they are complex.
        found: every volume that could have been used.
        converted: those that were used, in the order of the file.
        wanted: slices wanted of train, validation and test, after scaling; empty if a list named
            the volumes.
        scaled_from: slices asked for in all, if there were fewer; else 0.
        left_out: the volumes that were not used, and why.
        shows_subjects: whether to list the volumes of each patient.
    """

    title: str
    size: int
    is_complex: bool
    found: tuple[Volume, ...]
    converted: tuple[Converted, ...]
    wanted: tuple[float, ...]
    scaled_from: int
    left_out: tuple[LeftOut, ...]
    shows_subjects: bool = False

    def of(self, split: str) -> list[Converted]:
        """The volumes of a split."""
        return [one for one in self.converted if one.split == split]

    def slices(self, split: str) -> int:
        """Number of slices of a split."""
        return sum(one.volume.slices for one in self.of(split))

    def patients(self, split: str) -> set[str]:
        """The patients of a split."""
        return {one.volume.patient for one in self.of(split)}

    @property
    def warnings(self) -> list[str]:
        """One line for each kind of warning."""
        names = _grouped((text, one.volume.name) for one in self.converted for text in one.warnings)
        lines = [f"{text} ({_volumes(names[text])})" for text in names]
        sizes = _grouped(
            (" x ".join(f"{mm:.3g}" for mm in one.volume.spacing) + " mm", one.volume.name)
            for one in self.converted
            if one.volume.spacing
        )
        if len(sizes) > 1:
            found = [f"{size} ({_volumes(sizes[size])})" for size in sizes]
            lines.append(f"the voxel sizes differ: {_some(found)}")
        splits = _grouped({(one.volume.patient, one.split): None for one in self.converted})
        twice = sum(len(where) > 1 for where in splits.values())
        if twice:
            who = "1 patient is" if twice == 1 else f"{twice} patients are"
            lines.append(f"{who} in more than one split of the list")
        return lines

    def to_markdown(self) -> str:
        """The report as tables."""
        kind = "complex" if self.is_complex else "magnitude"
        lines = [f"{self.title}: {kind} images, {self.size} x {self.size}"]
        if self.scaled_from:
            lines += [
                "",
                f"There are fewer slices than the {self.scaled_from} asked for: "
                "the three splits are scaled in proportion.",
            ]
        lines += _table(
            ["split", "slices wanted", "slices", "volumes", "patients", "difference in slices"],
            self._splits(),
        )
        if self.shows_subjects:
            subjects = _grouped(
                ((one.split, one.volume.patient), one.volume.name) for one in self.converted
            )
            lines += _table(
                ["split", "subject", "volumes"],
                [(*both, ", ".join(names)) for both, names in subjects.items()],
            )
        used = Counter(one.volume.acquisition for one in self.converted)
        volumes = Counter(v.acquisition for v in self.found)
        slices = {a: sum(v.slices for v in self.found if v.acquisition == a) for a in volumes}
        lines += _table(
            ["acquisition", "volumes", "slices", "volumes used"],
            [(name, volumes[name], slices[name], used[name]) for name in sorted(volumes)],
        )
        shapes = Counter(one.volume.shape for one in self.converted)
        lines += _table(
            ["rows x columns of the slices used", "volumes"],
            [(f"{rows} x {columns}", n) for (rows, columns), n in sorted(shapes.items())],
        )
        maxima = [one.maximum for one in self.converted]
        means = [one.mean for one in self.converted]
        lines += [
            "",
            f"Largest magnitude of a volume: {min(maxima):.4g} to {max(maxima):.4g}; each volume "
            f"is divided by its own. Mean after that: {min(means):.3f} to {max(means):.3f}.",
        ]
        if self.left_out:
            reasons = _grouped((one.reason, one.name) for one in self.left_out)
            lines += _table(
                ["left out because", "volumes", "which"],
                [(reason, len(names), _some(names)) for reason, names in reasons.items()],
            )
        if self.warnings:
            lines += ["", *(f"- Warning: {text}" for text in self.warnings)]
        return "\n".join(lines)

    def _splits(self) -> Iterator[tuple[object, ...]]:
        for number, name in enumerate(SPLITS):
            slices = self.slices(name)
            wanted, difference = "as listed", "0"
            if self.wanted:
                wanted = f"{self.wanted[number]:.0f}"
                difference = f"{slices - round(self.wanted[number]):+d}"
            yield name, wanted, slices, len(self.of(name)), len(self.patients(name)), difference


def _grouped(pairs: Iterable[tuple[Key, str]]) -> dict[Key, list[str]]:
    """The second of each pair, by the first."""
    groups: dict[Key, list[str]] = {}
    for key, name in pairs:
        groups.setdefault(key, []).append(name)
    return groups


def _volumes(names: Sequence[str]) -> str:
    return f"{len(names)} volume{'s' * (len(names) > 1)}: {_some(names)}"


def _some(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table, in columns that line up as plain text as well."""
    cells = [list(head), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    padded = ([c.ljust(w) for c, w in zip(row, widths, strict=True)] for row in cells)
    return ["", *("| " + " | ".join(row) + " |" for row in padded)]
