"""``python -m loupe_lib``."""

import runpy

import pytest


def test_the_library_names_the_command_line():
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("loupe_lib", run_name="__main__")
    said = "loupe_lib is a library; its command line is `python -m loupe_companion --help`"
    assert caught.value.code == said  # printed to stderr, with exit status 1
