"""Bring together what the book is made of: ``python -m loupe_companion.book.stage OUTPUT PROFILE``.

The folder ``stage`` of the output folder gets the prose, the pages of the executed notebooks, and
the generated pages.
"""

import shutil
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from loupe_companion.beyond.experiment import read_record
from loupe_companion.beyond.tables import summary
from loupe_companion.book import pages
from loupe_companion.book.build import BuildError
from loupe_companion.book.explorer import explorer_page
from loupe_companion.book.notebooks import for_readers, page
from loupe_companion.book.preamble import NOTEBOOKS, ROOT
from loupe_companion.profiles import BOOK_PROFILES
from loupe_companion.results import RunResult, read_results

RESULTS = ROOT / "results"
SUBPACKAGES = ("baselines", "callbacks", "data", "training")  # of loupe_lib, for the reference


def stage(output: Path, profile: str) -> None:
    """Write the folder ``stage``, which must not exist.

    Args:
        output: has the executed notebooks, ``executed/NAME.own.ipynb`` and ``NAME.kept.ipynb``, and
            the collected results, ``own/results/PROFILE.h5``.
        profile: the sweep that was trained on this machine.

    Raises:
        BuildError: if the kept results are incomplete.
    """
    target = output / "stage"
    shutil.copytree(ROOT / "book", target / "book", ignore=shutil.ignore_patterns("_build", ".*"))
    (target / "notebooks").mkdir()
    executed: dict[str, NotebookNode] = {}
    for source in sorted(NOTEBOOKS.glob("*.ipynb")):
        found = {}
        for kind, label in (("own", f"own {profile}"), ("kept", "kept")):
            file = output / "executed" / f"{source.stem}.{kind}.ipynb"
            if file.exists():
                found[kind] = nbformat.read(file, as_version=4)
                executed[f"{source.stem}, {label}"] = found[kind]
        if len(found) == 2:
            shown = page(source.stem, profile, found["own"], found["kept"])
        else:
            (only,) = found.values()
            shown = for_readers(only)
        nbformat.write(shown, target / "notebooks" / source.name)

    own = read_results(output / "own" / "results" / f"{profile}.h5")
    trainings = {f"own {profile}": own, "kept reference": kept_results()}
    replays = {"kept": read_results(RESULTS / "replay.h5"), f"{profile} of this machine": own}
    others = {f"kept {n}": read_results(RESULTS / f"{n}.h5") for n in ("claims", "claims-small")}
    for name, text in {
        **{f"_{name}": pages.reference(f"loupe_lib.{name}") for name in SUBPACKAGES},
        "explorer": explorer_page(kept_results(), replays),
        "_costs": pages.costs({**trainings, **others}, RESULTS / "bench.json"),
        "_profiles": pages.profiles_table(),
        "_speed": pages.speed(RESULTS / "bench.json"),
        "_own_model": summary(read_record(RESULTS / "beyond.json")),
        "_robustness": pages.robustness(RESULTS / "robustness.json"),
        "versions": pages.versions_page(executed, trainings),
    }.items():
        (target / "book" / f"{name}.md").write_text(text + "\n", "utf-8")


def kept_results() -> list[RunResult]:
    """The kept results of the reference profile; a notebook would train missing ones, for hours."""
    kept = {result.config: result for result in read_results(RESULTS / "reference.h5")}
    wanted = BOOK_PROFILES["reference"].configs()
    missing = sum(config not in kept for config in wanted)
    if missing:
        raise BuildError(
            f"results/reference.h5 lacks {missing} of the {len(wanted)} runs of the reference "
            "profile; train them: "
            "python -m loupe_companion sweep --profile reference --out results/reference.h5"
        )
    return [kept[config] for config in wanted]


def main() -> None:
    try:
        stage(Path(sys.argv[1]), sys.argv[2])
    except BuildError as error:
        sys.exit(f"no book: {error}")


if __name__ == "__main__":
    main()
