"""Reads a file changed at random, again and again.

``python -m tests.robustness.mutate KIND FILE TRIES`` prints a JSON object: how many were
``refused`` and how many ``read``, in the sense of `tests.robustness.readers.try_to_read`. Anything
else ends it.
"""

import json
import random
import sys
from collections import Counter
from pathlib import Path

from tests.robustness.readers import bound_this_process, try_to_read


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Some bits flipped, a piece overwritten, lost, repeated or moved."""
    changed = bytearray(content)
    # Half of all changes strike the beginning, where headers are.
    most = len(changed) if rng.random() < 0.5 else min(len(changed), 2048)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place, length = rng.randrange(most), rng.choice((1, 2, 4, 8, 64))
        kind = rng.randrange(5)
        if kind < 2:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 2:
            changed[place : place + length] = rng.choice((b"\0", b"\xff", b"\x7f")) * length
        elif kind == 3:
            del changed[place : place + length]
        else:
            changed[place:place] = changed[place : place + length]
        if not changed:
            return b""
        most = min(most, len(changed))
    return bytes(changed)


def main() -> None:
    kind, source, tries = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    path = source.with_name(f"changed-{source.name}")
    content = source.read_bytes()
    counts: Counter[str] = Counter()
    bound_this_process()
    for number in range(tries):
        path.write_bytes(mutated(content, random.Random(number)))
        try:
            counts[try_to_read(kind, path)] += 1
        except Exception as error:
            raise AssertionError(f"change {number} of {kind}: {error!r}") from error
    path.unlink()
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
