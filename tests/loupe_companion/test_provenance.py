"""Where a number comes from."""

import json
import platform
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import loupe_lib
from loupe_companion import provenance
from loupe_companion.provenance import code_version
from loupe_lib import InputError
from loupe_lib.training.device import device_name, find_device
from tests.common import assert_one_line, on_each_device


def test_the_device_is_a_gpu_if_there_is_one_else_the_cpu():
    assert find_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@on_each_device
def test_a_device_is_found_by_name(device):
    assert find_device(device) == torch.device(device)
    assert torch.zeros(1, device=find_device(device)).device.type == device


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "cpu:0", "meta", "CPU"])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(InputError, match=f"device must be one of cpu.*; got '{name}'") as caught:
        find_device(name)
    assert_one_line(str(caught.value))


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="device must be one of cpu on this machine; got 'cuda'"):
        find_device("cuda")


def test_provenance_tells_code_packages_device_and_date():
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


@on_each_device
def test_a_device_says_its_name(device):
    assert device_name(find_device(device))


def test_the_code_version_changes_with_the_code(tmp_path, monkeypatch):
    pattern = rf"{re.escape(loupe_lib.__version__)} \(source [0-9a-f]{{12}}\)"
    assert re.fullmatch(pattern, code_version())
    versions = []
    (tmp_path / "provenance.py").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    for text in ("a = 1\n", "a = 2\n", "a = 1\n"):
        Path(tmp_path / "other.py").write_text(text)
        versions.append(code_version.__wrapped__())
    assert versions[0] == versions[2] != versions[1]
