"""The message of InputError."""

import pytest

from loupe_lib import InputError


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("size must be even; got 3", "size must be even; got 3"),
        ("two  spaces in a name", "two  spaces in a name"),
        ("HDF5 says:\n    no\r\n\tdata\u2028", "HDF5 says: no data"),
        ("it says '\x1b[2J\0'", r"it says '\x1b[2J\x00'"),
        ("Größe \N{NO-BREAK SPACE}\udcff", "Größe \\xa0\\udcff"),
        ("x" * 1001, "x" * 997 + "..."),
    ],
)
def test_a_message_is_one_printable_line_whatever_a_file_says(message, shown):
    assert str(InputError(message)) == shown
