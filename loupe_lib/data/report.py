"""The report of a conversion: the volumes found, used and left out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loupe_lib.data.conversion import Converted
from loupe_lib.data.images import SPLITS
from loupe_lib.data.volumes import LeftOut, Volume

SHOWN = 3  # names of volumes that were left out for the same reason


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
    """

    title: str
    size: int
    is_complex: bool
    found: tuple[Volume, ...]
    converted: tuple[Converted, ...]
    wanted: tuple[float, ...]
    scaled_from: int
    left_out: tuple[LeftOut, ...]

    def of(self, split: str) -> list[Converted]:
        """The volumes of a split."""
        return [one for one in self.converted if one.split == split]

    def slices(self, split: str) -> int:
        """Number of slices of a split."""
        return sum(one.volume.slices for one in self.of(split))

    def patients(self, split: str) -> set[str]:
        """The patients of a split."""
        return {one.volume.patient for one in self.of(split)}

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
        wanted = [f"{n:.0f}" for n in self.wanted] or ["as listed"] * len(SPLITS)
        lines += _table(
            ["split", "slices wanted", "slices", "volumes", "patients"],
            [
                (name, n, self.slices(name), len(self.of(name)), len(self.patients(name)))
                for name, n in zip(SPLITS, wanted, strict=True)
            ],
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
            reasons: dict[str, list[str]] = {}
            for one in self.left_out:
                reasons.setdefault(one.reason, []).append(one.name)
            lines += _table(
                ["left out because", "volumes", "which"],
                [(reason, len(names), _some(names)) for reason, names in reasons.items()],
            )
        return "\n".join(lines)


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
