"""The training loop: its history, and that an interruption changes nothing."""

import json
import math
import signal

import pytest
import torch

from loupe_lib import ReleasedSchedule
from loupe_lib.baselines.fixed_masks import SpectrumMask
from loupe_lib.training import loop
from loupe_lib.training.loop import train
from loupe_lib.training.run import Run
from loupe_lib.training.trainer import PlainTrainer
from tests.common import fixed, smoke


class Interrupted(PlainTrainer):
    """The plain trainer, with Ctrl-C pressed during the validation of some epochs."""

    press_at: tuple[int, ...] = ()
    presses = 1

    def evaluate(self, images, relaxed=False):
        if not relaxed:
            self.epoch = getattr(self, "epoch", 0) + 1
        if not relaxed and self.epoch in self.press_at:
            for _ in range(self.presses):
                signal.raise_signal(signal.SIGINT)
        return super().evaluate(images, relaxed)


def pressing(*epochs: int, presses: int = 1) -> type[Interrupted]:
    return type("Pressing", (Interrupted,), {"press_at": epochs, "presses": presses})


def trained(configs, images, folder, trainer=PlainTrainer, progress=False) -> list[Run]:
    runs = [Run(config, "cpu") for config in configs]
    checkpoints = [folder / f"{run.config.name}.safetensors" for run in runs]
    for run, checkpoint in zip(runs, checkpoints, strict=True):
        run.resume(checkpoint)
    train(runs, images, checkpoints, trainer, progress)
    return runs


def outcome(run: Run) -> tuple[object, ...]:
    """All but the seconds, exactly."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run.history]
    weights = {name: value.numpy().tobytes() for name, value in run.model.state_dict().items()}
    return json.dumps(rows), weights, run.schedule.state_dict(), run.warnings, run.finished


LONGER = {"shrink_epochs": 3, "settle_epochs": 2, "train": 32}
FIXED = {"settle_epochs": 5, "lr_patience": 1, "train": 32}
CASES = {
    "4S": smoke(**LONGER),
    "fixed": fixed(**FIXED),
    "released": smoke(**LONGER, schedule="released"),
    "exponential": smoke(**LONGER, schedule="exponential", slope=0.1, max_slope=10, mask="tanh"),
    "trained slope": fixed(**FIXED, mask="trained_slope"),
    "lines": smoke(**LONGER, lines=True),
    "spectrum": fixed(**FIXED, mask="spectrum"),
}


@pytest.fixture(scope="module")
def uninterrupted(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return {name: trained([config], images, folder)[0] for name, config in CASES.items()}


@pytest.mark.parametrize(
    ("case", "epoch"),
    [
        *(("fixed", 3), ("released", 2), ("released", 4), ("exponential", 2)),
        *(("trained slope", 3), ("lines", 2), ("spectrum", 2)),
    ],
)
def test_a_run_stopped_by_ctrl_c_goes_on_bit_for_bit(case, epoch, images, uninterrupted, tmp_path):
    config = CASES[case]
    with pytest.raises(KeyboardInterrupt):
        trained([config], images, tmp_path, pressing(epoch))
    stopped = Run(config, "cpu")
    stopped.resume(tmp_path / f"{config.name}.safetensors")
    assert len(stopped.history) == epoch
    (resumed,) = trained([config], images, tmp_path)
    assert outcome(resumed) == outcome(uninterrupted[case])


def test_a_run_may_be_stopped_after_every_epoch(images, uninterrupted, tmp_path):
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            trained([CASES["4S"]], images, tmp_path, pressing(1))
    (resumed,) = trained([CASES["4S"]], images, tmp_path)
    assert outcome(resumed) == outcome(uninterrupted["4S"])


def test_a_pack_stopped_when_one_run_has_ended_goes_on_bit_for_bit(images, tmp_path):
    short = {"shrink_epochs": 1, "settle_epochs": 1}
    configs = [smoke(**{**LONGER, **short}), smoke(**LONGER, seed=1)]
    alone = [trained([config], images, tmp_path / "alone")[0] for config in configs]
    with pytest.raises(KeyboardInterrupt):
        trained(configs, images, tmp_path, pressing(3))
    together = trained(configs, images, tmp_path)
    assert [outcome(run) for run in together] == [outcome(run) for run in alone]


def test_a_second_ctrl_c_stops_at_once(images, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained([smoke()], images, tmp_path, pressing(2, presses=2))
    assert list(tmp_path.iterdir()) == []


def test_training_restores_the_handler_of_ctrl_c(images, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    trained([smoke()], images, tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        trained([smoke(seed=1)], images, tmp_path, pressing(1))
    assert signal.getsignal(signal.SIGINT) is before


def test_checkpoints_are_written_from_time_to_time(images, uninterrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_FRACTION", math.inf)  # after every epoch, then
    trainer = pressing(4, presses=2)  # at once: what is left is the checkpoint of epoch 3
    with pytest.raises(KeyboardInterrupt):
        trained([CASES["4S"]], images, tmp_path, trainer)
    stopped = Run(CASES["4S"], "cpu")
    stopped.resume(tmp_path / f"{stopped.config.name}.safetensors")
    assert len(stopped.history) == 3
    (resumed,) = trained([CASES["4S"]], images, tmp_path)
    assert outcome(resumed) == outcome(uninterrupted["4S"])


def test_the_kept_weights_are_those_of_the_lowest_validation_loss(images, uninterrupted):
    for run in uninterrupted.values():
        watched = "soft_loss" if run.config.schedule == "released" else "loss"
        best = min(run.history, key=lambda row: row[watched])
        x = images.validation.images
        with torch.no_grad():
            error = (run.model.eval()(x) - x).double()
        assert error.abs().mean().item() == pytest.approx(best["loss"], rel=1e-5)
        psnr = -10 * error.square().mean((1, 2)).log10().mean().item()
        assert psnr == pytest.approx(best["psnr"], rel=1e-5)
        assert run.model.mask.slope.item() == best["slope"]


def test_the_progress_bar_shows_run_and_epochs(images, tmp_path, capsys):
    trained([smoke()], images, tmp_path, progress=False)
    assert capsys.readouterr().err == ""
    trained([smoke(patience=1)], images, tmp_path, progress=True)
    shown = capsys.readouterr().err
    assert "R=4 4S seed 0" in shown and "/3" in shown


def test_a_released_run_follows_the_released_schedule_on_its_own_soft_losses(uninterrupted):
    run = uninterrupted["released"]
    assert {len(row) for row in run.history} == {9} and len(run.history) == 5
    config = run.config
    of = ReleasedSchedule(
        config.slope,
        config.learning_rate,
        config.patience,
        config.stop_patience,
        config.lr_patience,
        idle_patience=0,  # a quarter of a patience of 1
    )
    for row in run.history:
        assert (row["slope"], row["learning_rate"], row["round"]) == (of.slope, of.lr, 1)
        of.step(row["soft_loss"])
    kept = run.history[of.best_epoch]
    assert run.model.mask.slope == kept["slope"]
    # The soft loss of small slopes is another than the loss of the thresholded mask.
    assert all(row["soft_loss"] != row["loss"] for row in run.history)
    assert not any("soft_loss" in row for row in uninterrupted["4S"].history)


def test_the_spectrum_mask_is_made_of_the_training_images(uninterrupted, images):
    expected = SpectrumMask(32, 4)
    expected.prepare(images.train.images)
    assert torch.equal(uninterrupted["spectrum"].model.mask.kept, expected.kept)
