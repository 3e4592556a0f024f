"""Bad input to every reader: an error of ours or a read, never a crash, a hang or much memory."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from loupe_companion.results import write_results
from loupe_companion.sources import load_images
from loupe_lib import InputError
from loupe_lib.data.choice import Listed, list_text
from loupe_lib.data.images import write_images
from loupe_lib.data.storage import CHECKSUM_SIZE
from loupe_lib.data.synthetic_fastmri import write_fastmri
from loupe_lib.training.config import RunConfig
from tests.common import assert_one_line, random, smoke
from tests.conftest import ROOT, Survival
from tests.robustness.readers import READERS
from tests.robustness.test_store import python

pytest_plugins = ["tests.fixtures_runs"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def corpus(trained, tmp_path_factory) -> Path:
    """A small, whole file of each kind, those of HDF5 without a checksum."""
    nibabel = pytest.importorskip("nibabel")
    pydicom = pytest.importorskip("pydicom")
    folder = tmp_path_factory.mktemp("corpus")
    write_results(trained.results[:1], folder / "results.h5")
    write_images(load_images(smoke()), folder / "images.h5")
    for name in ("results.h5", "images.h5"):
        with open(folder / name, "r+b") as file:
            file.write(bytes(CHECKSUM_SIZE))
    (path,) = write_fastmri(folder / "fastmri", 1, 0, 0, size=32, slices=2)
    path.rename(folder / "fastmri.h5")
    stack = random(4, 32, 32).numpy()
    with h5py.File(folder / "stack.h5", "w") as file:
        file.create_dataset("images", data=stack, chunks=(1, 32, 32), compression="gzip")
    np.save(folder / "stack.npy", stack)
    for name in ("head.nii", "head.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(stack, np.eye(4)), folder / name)
    header = pydicom.dataset.Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3"
    header.SeriesInstanceUID, header.PatientID, header.Modality = "1.2.4", "nobody", "MR"
    header.PhotometricInterpretation, header.SamplesPerPixel = "MONOCHROME2", 1
    header.Rows = header.Columns = 32
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, 0
    header.PixelData = (stack[0] * 1000).astype(np.uint16).tobytes()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.save_as(folder / "series.dcm", enforce_file_format=True)
    trained_weights = trained.weights(0)
    (folder / "weights.safetensors").write_bytes(trained_weights.read_bytes())
    (folder / "config.json").write_text(smoke().to_json())
    beyond = json.loads((ROOT / "results" / "beyond.json").read_text("utf-8"))
    (folder / "beyond.json").write_text(json.dumps(beyond | {"runs": beyond["runs"][:4]}))
    listed = [Listed("train", "a", 3, "0" * 64), Listed("test", "b", 4, "1" * 64)]
    (folder / "list.tsv").write_text(list_text(listed))
    return folder


def test_whole_files_are_read(corpus):
    for name, read in READERS.items():
        read(corpus / name)


def tried(way: str, name: str, corpus: Path, tries: int) -> dict[str, int]:
    """What a process that reads so many files of one kind counts."""
    process = python("-m", f"tests.robustness.{way}", name, corpus / name, tries)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.mark.parametrize("name", READERS)
def test_mutations(name, corpus, survival: Survival):
    """A file is changed at random and read."""
    tries = survival.tries(2000, 100)
    survival.counts.update(tried("mutate", name, corpus, tries))
    assert sum(survival.counts.values()) == tries


@pytest.mark.parametrize("name", READERS)
def test_odd_content(name, corpus, survival: Survival):
    """A well-formed file says anything that hypothesis thinks of, and is read."""
    tries = survival.tries(1000, 50)
    survival.counts.update(tried("odd", name, corpus, tries))
    assert sum(survival.counts.values()) >= 0.8 * tries  # fewer where it has no more to say


@pytest.mark.parametrize("text", ["", "null", "[]", "[" * 10**5, "9" * 10**5, '{"size": 1e999}'])
def test_what_is_no_configuration_is_refused(text):
    with pytest.raises(InputError) as caught:
        RunConfig.from_json(text)
    assert_one_line(str(caught.value))
