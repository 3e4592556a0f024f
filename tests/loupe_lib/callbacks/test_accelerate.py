"""4S in a loop with Accelerate needs no callback: two processes, three lines."""

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from loupe_lib import SelfShrinkingSlope
from tests.loupe_lib.callbacks import common
from tests.loupe_lib.callbacks.common import EPOCHS, KILLED, SETTINGS, Network


def train(rank: int, folder: Path, kind: str, kill_in: int | None) -> None:
    """One of two processes. Every epoch is saved if it is to be killed in one of them."""
    common.join(rank, folder)
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    net = Network(kind)
    model, optimizer, loader, validation = accelerator.prepare(
        net,
        torch.optim.Adam(net.parameters(), 0.1),
        DataLoader(common.TRAIN, batch_size=2),
        DataLoader(common.VALIDATION, batch_size=4),
    )
    slope = SelfShrinkingSlope(model, **SETTINGS)
    accelerator.register_for_checkpointing(slope)
    rows = []
    resumed = (folder / "state").exists()
    if resumed:
        accelerator.load_state(folder / "state")
    for epoch in range(3 if resumed else 0, EPOCHS):
        model.train()
        for batch in loader:
            if epoch == kill_in:
                common.kill()
            optimizer.zero_grad()
            accelerator.backward(model(batch)["loss"])
            optimizer.step()
        model.eval()
        with torch.no_grad():
            (loss,) = [model(batch)["loss"] for batch in validation]
        rows.append([loss.item(), *slope.slopes.values()])
        slope.step(loss)  # in every process: 4S takes the mean
        if kill_in is not None:
            accelerator.save_state(folder / "state")
    (folder / f"{rank}.json").write_text(json.dumps(rows))
    common.leave()


def train_in_two(folder: Path, kind: str, kill_in: int | None = None) -> list[int | None]:
    """Train in two processes; their exit codes."""
    folder.mkdir(exist_ok=True)
    (folder / "rendezvous").unlink(missing_ok=True)
    return common.run(train, *((rank, folder, kind, kill_in) for rank in (0, 1)))


def read(folder: Path) -> list[list[list[float]]]:
    """What each process saw in each epoch: the loss of its images, and the slope."""
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("kind", ["buffer", "float"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, kind):
    assert train_in_two(tmp_path / "whole", kind) == [0, 0]
    assert train_in_two(tmp_path / "killed", kind, kill_in=3) == [KILLED, KILLED]
    assert train_in_two(tmp_path / "killed", kind) == [0, 0]
    first, second = whole = read(tmp_path / "whole")
    assert read(tmp_path / "killed") == [rows[3:] for rows in whole]
    assert [row[1] for row in first] == [row[1] for row in second]
    assert [row[0] for row in first] != [row[0] for row in second]
    assert first[3][1] > 2  # raised before the kill
