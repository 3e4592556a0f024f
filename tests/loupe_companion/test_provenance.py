"""The provenance of a number."""

import json
import platform
import re
from datetime import UTC, datetime, timedelta

import h5py
import numpy as np
import pytest
import torch

import loupe_lib
from loupe_companion import provenance
from loupe_companion.provenance import code_version
from loupe_lib import InputError
from loupe_lib.training.device import find_device
from tests.common import on_each_device


def test_the_device_is_a_gpu_if_there_is_one_else_the_cpu():
    assert find_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@on_each_device
def test_a_device_is_found_by_name(device):
    assert find_device(device) == torch.device(device)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "cpu:0", "meta", "CPU"])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(InputError, match=f"device must be one of cpu.*; got '{name}'"):
        find_device(name)


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="device must be one of cpu on this machine; got 'cuda'"):
        find_device("cuda")


def test_provenance_has_code_packages_device_and_date():
    found = provenance.get_provenance(torch.device("cpu"))
    assert json.loads(json.dumps(found)) == found
    assert found["code"] == code_version()
    assert found["python"] == platform.python_version()
    assert found["packages"]["numpy"] == np.__version__
    assert found["packages"]["h5py"] == h5py.__version__
    assert found["packages"]["torch"] == torch.__version__
    age = datetime.now(UTC) - datetime.fromisoformat(found["date"])
    assert timedelta(seconds=-1) < age < timedelta(minutes=1)
    assert found["device"].startswith("CPU")


def test_the_code_version_changes_with_the_code_of_either_package(tmp_path, monkeypatch):
    pattern = rf"{re.escape(loupe_lib.__version__)} \(source [0-9a-f]{{12}}\)"
    assert re.fullmatch(pattern, code_version())
    files = [tmp_path / "loupe_companion" / "a.py", tmp_path / "loupe_lib" / "data" / "b.py"]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(files[0].with_name("provenance.py")))
    first = code_version.__wrapped__()
    for file in files:
        file.write_text("a = 1\n")
        assert code_version.__wrapped__() != first
        file.write_text("")
        assert code_version.__wrapped__() == first
