"""The images of a run."""

import pytest
import torch

from loupe_companion import sources
from loupe_companion.cli_data import show
from loupe_companion.profiles import find_profile
from loupe_companion.sources import load_images, load_profile
from loupe_lib import InputError
from loupe_lib.data.heads import draw_cohort
from loupe_lib.data.images import SPLITS, read_images, write_images
from loupe_lib.data.storage import digest
from tests.common import smoke


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "own.h5"
    write_images(draw_cohort(48, train=20, validation=10, test=9, seed=3), path)
    return path


def test_without_a_file_the_plan_is_the_profile():
    assert load_profile("smoke", factor=2) == find_profile("smoke", factor=2)


def test_a_file_decides_size_and_number_of_slices(file):
    for config in load_profile("smoke", file, factor=2.0).configs():
        assert (config.size, config.train, config.validation, config.test) == (48, 20, 10, 9)
        assert (config.data, config.factor) == (digest(file), 2.0)


def test_an_unchanged_file_is_read_once(file, tmp_path, monkeypatch):
    reads = []

    def read(path):
        reads.append(path)
        return read_images(path)

    monkeypatch.setattr(sources, "read_images", read)
    own = tmp_path / "own.h5"
    own.write_bytes(file.read_bytes())
    for config in load_profile("smoke", own).configs():
        assert load_images(config, own) is load_images(config, str(own))
    assert reads == [str(own)]
    write_images(draw_cohort(32, train=20, validation=10, test=9), own)
    with pytest.raises(InputError, match="is not the image file with SHA-256"):
        load_images(config, own)
    assert load_profile("smoke", own).configs()[0].size == 32
    assert len(reads) == 2


def test_a_run_on_the_heads_draws_its_cohort():
    images = load_images(smoke())
    assert [len(getattr(images, name).images) for name in SPLITS] == [64, 16, 16]
    assert load_images(smoke(seed=1, acceleration=8)) is images  # drawn once
    other = load_images(smoke(data_seed=1))
    assert not torch.equal(other.train.images, images.train.images)


def test_another_file_than_the_run_s_is_refused(file, capsys):
    config = smoke(data="0" * 64)
    told = f"needs the image file with SHA-256 {'0' * 64}: give it by --data FILE"
    with pytest.raises(InputError, match=f"{told}.* `data show FILE` shows a file's SHA-256$"):
        load_images(config)
    show(file)
    assert f"SHA-256 {digest(file)}" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"own\.h5 is not the image file with SHA-256 0000"):
        load_images(config, file)
