"""Bring together what the book is made of.

``python -m loupe_companion.book.stage OUTPUT PROFILE NOTEBOOK ...`` writes the prose, the pages of
the executed notebooks, and the generated pages into the folder ``stage`` of the output folder.
"""

import shutil
from pathlib import Path

import nbformat
import typer
from nbformat import NotebookNode

from loupe_companion.beyond.experiment import read_record
from loupe_companion.beyond.tables import summary
from loupe_companion.book import pages
from loupe_companion.book.build import BuildError
from loupe_companion.book.explorer import explorer_page
from loupe_companion.book.first_page import answer
from loupe_companion.book.notebooks import page
from loupe_companion.book.preamble import ROOT
from loupe_companion.figures.fig3 import overview_figure
from loupe_companion.profiles import BOOK_PROFILES
from loupe_companion.results import KEPT, RunResult, read_results
from loupe_companion.sweep import collected_results

OWN = """\
**The runs of this machine.** The build of this book trained the `{profile}` profile. [The
images](../notebooks/data.ipynb) and [Fig. 1](../notebooks/fig1.ipynb) are about these runs;
{{ref}}`Fig. 2 <own-runs-fig2>`, {{ref}}`Fig. 3 <own-runs-fig3>` and {{ref}}`Fig. 4 <own-runs-fig4>`
show them after the kept results. All other pages are about kept results."""
SUBPACKAGES = ("baselines", "callbacks", "data", "training")  # of loupe_lib, for the reference


def stage(output: Path, profile: str, notebooks: list[Path]) -> None:
    """Write the folder ``stage``, which must not exist.

    Args:
        output: has the collected results, ``own/results/PROFILE.h5``, unless the profile is kept.
        profile: the sweep that was trained on this machine; ``kept`` if none was.
        notebooks: executed, ``NAME.own.ipynb`` about its runs, ``NAME.kept.ipynb`` about kept ones.

    Raises:
        BuildError: if the kept results are incomplete.
    """
    target = output / "stage"
    shutil.copytree(ROOT / "book", target / "book", ignore=shutil.ignore_patterns("_build", ".*"))
    (target / "notebooks").mkdir()
    own: dict[str, NotebookNode] = {}
    kept: dict[str, NotebookNode] = {}
    for file in notebooks:
        name, kind, _ = file.name.split(".")
        (kept if kind == "kept" else own)[name] = nbformat.read(file, as_version=4)
    for name, first in {**own, **kept}.items():
        shown = page(name, first, own.get(name) if name in kept else None, profile)
        nbformat.write(shown, target / "notebooks" / f"{name}.ipynb")
    executed = {f"{name}, kept": notebook for name, notebook in kept.items()}
    executed |= {f"{name}, own {profile}": notebook for name, notebook in own.items()}

    reference = kept_results()
    overview_figure(reference).savefig(target / "book" / "_fig3.png", dpi=150)
    trainings = {"kept reference": reference}
    replays = {"": read_results(KEPT / "replay.h5")}
    files = [*sorted(KEPT.glob("*.h5")), *sorted(KEPT.glob("*.json"))]
    if profile != "kept":
        files.append(output / "own" / "results" / f"{profile}.h5")
        trained = read_results(files[-1])
        trainings = {f"own {profile}": trained, **trainings}
        replays["this machine"] = trained
    others = {
        # The same runs trained on a GPU, for their time alone.
        f"kept {n}": [*read_results(KEPT / f"{n}.h5"), *collected_results(KEPT / f"{n}-gpu.h5")]
        for n in ("quick", "claims", "claims-small")
    }
    for name, text in {
        **{f"_{name}": pages.reference(f"loupe_lib.{name}") for name in SUBPACKAGES},
        "explorer": explorer_page(reference, replays),
        "_answer": answer(KEPT / "verdicts.json", reference, "_fig3.png"),
        "_own": OWN.format(profile=profile) if own else "",
        "_costs": pages.costs({**trainings, **others}, KEPT),
        "_profiles": pages.profiles_table(),
        "_speed": "\n\n".join(pages.speed(KEPT / f"{n}.json") for n in ("bench", "bench-cpu")),
        "_own_model": summary(read_record(KEPT / "beyond.json")),
        "_robustness": pages.robustness(KEPT / "robustness.json"),
        "versions": pages.versions_page(executed, files),
    }.items():
        (target / "book" / f"{name}.md").write_text(text + "\n", "utf-8")


def kept_results() -> list[RunResult]:
    """The kept results of the reference profile; a notebook would train missing ones, for hours."""
    kept = {result.config: result for result in read_results(KEPT / "reference.h5")}
    wanted = BOOK_PROFILES["reference"].configs()
    missing = sum(config not in kept for config in wanted)
    if missing:
        raise BuildError(
            f"results/reference.h5 lacks {missing} of the {len(wanted)} runs of the reference "
            "profile; train them: "
            "python -m loupe_companion sweep --profile reference --out results/reference.h5"
        )
    return [kept[config] for config in wanted]


if __name__ == "__main__":
    typer.run(stage)
