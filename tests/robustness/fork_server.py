"""A process that has imported everything, and forks children that may be killed.

It reads a JSON object a line: ``argv`` of the command line to run in a child, and, if the child
is to be killed, in which ``phase``, at which ``entry`` into it, after what ``delay`` in seconds.
For each it answers with one: ``killed``, ``phase`` at that moment, ``status``, and the number of
``entries`` into each phase.
"""

import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import RawArray, RawValue

import torch

torch.set_num_threads(1)

import loupe_companion.packs  # noqa: E402
import loupe_companion.results  # noqa: E402
import loupe_companion.sweep  # noqa: E402
import loupe_companion.workflow  # noqa: E402
import loupe_lib.data.conversion  # noqa: E402
import loupe_lib.data.workers  # noqa: E402
import loupe_lib.training.loop  # noqa: E402
import loupe_lib.training.run  # noqa: E402
from loupe_companion import cli  # noqa: E402
from loupe_companion.profiles import find_profile  # noqa: E402
from loupe_companion.sources import load_images  # noqa: E402
from loupe_lib.data import storage as files  # noqa: E402
from loupe_lib.training.trainer import PlainTrainer  # noqa: E402

PHASES = (
    "elsewhere",
    "training",
    "checkpointing",
    "measuring",
    "writing",
    "collecting",
    "converting",
    "between fsync and rename",
)
# Shared with the child: its phase, and the number of entries into each.
NOW = RawValue("I")
ENTRIES = RawArray("I", len(PHASES))


def watch(owner: object, name: str, phase: str) -> None:
    """Let a function tell when it runs."""
    original: Callable[..., object] = getattr(owner, name)

    @functools.wraps(original)  # workers find it by its name
    def watched(*args: object, **kwargs: object) -> object:
        before = NOW.value
        NOW.value = PHASES.index(phase)
        ENTRIES[NOW.value] += 1
        try:
            return original(*args, **kwargs)
        finally:
            NOW.value = before

    setattr(owner, name, watched)


def child(argv: list[str]) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.argv = ["loupe4s", *argv]
    try:
        cli.main()
    except SystemExit as leaving:
        os._exit(int(leaving.code or 0))
    except BaseException:
        os._exit(70)
    os._exit(0)


def run(argv: list[str], phase: str | None, entry: int, delay: float) -> dict[str, object]:
    NOW.value = 0
    ENTRIES[:] = [0] * len(PHASES)
    pid = os.fork()
    if not pid:
        child(argv)
    killed, seen = False, 0
    if phase is not None:
        while ENTRIES[PHASES.index(phase)] < entry:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.0002)
        time.sleep(delay)
        killed = not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        os.kill(pid, signal.SIGKILL)
        seen = NOW.value
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {
        "killed": killed,
        "phase": PHASES[seen],
        "status": status,
        "entries": dict(zip(PHASES, ENTRIES, strict=True)),
    }


def main() -> None:
    watch(PlainTrainer, "step", "training")
    watch(PlainTrainer, "evaluate", "training")
    watch(loupe_lib.training.run.Run, "save", "checkpointing")
    watch(loupe_companion.packs, "summarize_run", "measuring")
    watch(loupe_companion.packs, "write_weights", "writing")
    watch(loupe_companion.packs, "write_results", "writing")
    watch(loupe_companion.sweep, "collect_results", "collecting")
    watch(loupe_lib.data.conversion, "_convert", "converting")
    watch(loupe_lib.data.conversion, "write_volumes", "converting")
    watch(files.os, "replace", "between fsync and rename")
    # A checkpoint after each epoch, and one process.
    loupe_lib.training.loop.CHECKPOINT_SECONDS = 0.0
    loupe_lib.training.loop.CHECKPOINT_FRACTION = 1e9
    loupe_lib.data.workers.START = "fork"  # workers are watched as well
    loupe_companion.packs.cores = lambda: 1
    loupe_companion.workflow.has_workflow = lambda: False
    load_images(find_profile("smoke").configs()[0])  # kept for the children
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
