"""The exception for invalid input, and the checks of numbers that raise it."""

import math
from numbers import Integral, Real

FLOAT32_MAX = 3.4028234663852886e38  # models compute in float32: above, a number is infinite
LONGEST = 1000  # characters; a message may quote a text of any length from a file


class InputError(ValueError):
    """An input that cannot be used.

    Its message is one line that names the value and says what is allowed. The command line
    prints that line and exits with a non-zero status, without a traceback.

    Args:
        message: the line. It may quote a file: its lines are joined, and characters that cannot be
            printed are escaped.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(part.strip() for part in message.splitlines())
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        super().__init__(shown if len(shown) <= LONGEST else shown[: LONGEST - 3] + "...")


def check_whole(name: str, value: object, at_least: int) -> int:
    """Return ``value`` if it is a whole number of at least that; else raise InputError."""
    if isinstance(value, Integral) and _number(value) >= at_least:
        return int(value)
    raise InputError(f"{name} must be a whole number of at least {at_least}; got {value!r}")


def check_number(
    name: str,
    value: object,
    at_least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return ``value`` if it is in that range, and finite in float32; else raise InputError."""
    number = _number(value)
    if abs(number) <= FLOAT32_MAX and at_least <= number and above < number < below:
        return number
    allowed = f"of at least {at_least:g}" if at_least > above else f"above {above:g}"
    if below < math.inf:
        allowed += f" and below {below:g}"
    raise InputError(f"{name} must be a finite number {allowed}; got {value!r}")


def _number(value: object) -> float:
    """``value`` as a float; NaN, which is in no range, if it is not a number of float64."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
