"""A run between two epochs, and its checkpoint."""

import json
import math

import pytest
import torch

from loupe_lib import InputError
from loupe_lib.training.checkpoint import checkpoint_files
from loupe_lib.training.run import Run
from loupe_lib.training.trainer import PlainTrainer
from tests.common import cut, fixed, flip, random, refusal, same, smoke

IMAGES = random(64, 32, 32)


def test_the_order_of_images_is_a_function_of_seed_and_epoch():
    run, again, other = Run(smoke(), "cpu"), Run(smoke(), "cpu"), Run(smoke(seed=1), "cpu")
    first = run.batches()
    assert first.shape == (8, 8)
    assert sorted(first.flatten().tolist()) == list(range(64))
    assert torch.equal(again.batches(), first) and not torch.equal(other.batches(), first)
    run.history.append({})
    assert not torch.equal(run.batches(), first)


def test_images_that_fill_no_batch_are_left_out_others_each_epoch():
    run = Run(smoke(train=20, batch=8), "cpu")
    left_out = set()
    for _ in range(8):
        batches = run.batches()
        assert batches.shape == (2, 8) and len(batches.unique()) == 16
        left_out |= set(range(20)) - set(batches.flatten().tolist())
        run.history.append({})
    assert len(left_out) > 8


def play(run: Run, losses: list[float], train_loss: float = 1.0) -> PlainTrainer:
    """Epochs of one step each, of which the validation losses are given."""
    trainer = PlainTrainer([run.model], IMAGES, [run.config.learning_rate])
    run.start(trainer, 0)
    for loss in losses:
        trainer.step(run.batches()[:1])
        run.end_epoch(trainer, 0, train_loss, loss, 20.0, 0.5)
    return trainer


def test_the_history_has_one_row_per_epoch():
    run = Run(smoke(acceleration=2, shrink_epochs=3), "cpu")
    play(run, [0.3, 0.4])
    assert len(run.history) == 2
    hard = (run.model.mask.probabilities() > 0.5).sum().item()
    assert run.history[1] == {
        "round": 1,
        "train_loss": 1.0,
        "loss": 0.4,
        "psnr": 20.0,
        "slope": 200.0,  # during the epoch: raised at its end
        "learning_rate": 0.01,
        "achieved_acceleration": 32 * 32 / hard,
        "seconds": 0.5,
    }


def test_the_best_weights_come_back_with_their_slope_when_a_round_ends():
    run = Run(smoke(shrink_epochs=4, patience=1), "cpu")
    trainer = play(run, [0.3])
    kept = trainer.weights(0)
    for loss in (0.4, 0.5, 0.6):
        trainer.step(run.batches()[:1])
        if loss == 0.6:
            assert run.model.mask.slope > 200
        run.end_epoch(trainer, 0, 1.0, loss, 20.0, 0.5)
    assert same(run.best, kept) and same(trainer.weights(0), kept)
    assert run.model.mask.slope == 200 and not run.finished
    assert not any(name.startswith("adam") for name in trainer.state(0))


def test_weights_are_kept_with_the_slope_they_were_trained_with():
    run = Run(smoke(shrink_epochs=4, schedule="exponential"), "cpu")
    play(run, [0.3, 0.2])
    assert run.model.mask.slope > run.history[1]["slope"] > 200
    assert float(run.best["encoder.mask.slope"]) == run.history[1]["slope"]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_training_loss_that_is_no_number_ends_the_run_with_a_warning(loss):
    run = Run(smoke(), "cpu")
    trainer = play(run, [0.3])
    kept = trainer.weights(0)
    trainer.step(run.batches()[:1])
    run.end_epoch(trainer, 0, loss, math.nan, math.nan, 0.5)
    assert same(trainer.weights(0), kept)
    assert run.finished and run.warnings == [f"training loss {loss} in epoch 2"]
    assert len(run.history) == 2 and run.history[1]["train_loss"] is loss


def test_an_empty_mask_has_an_infinite_acceleration():
    run = Run(fixed(acceleration=8), "cpu")
    with torch.no_grad():
        run.model.mask.gamma.fill_(0.0)
    trainer = PlainTrainer([run.model], IMAGES, [0.01])
    run.end_epoch(trainer, 0, 1.0, 0.3, 20.0, 0.5)
    assert run.history[0]["achieved_acceleration"] == math.inf


@pytest.fixture
def checkpoint(tmp_path):
    run = Run(smoke(), "cpu")
    trainer = play(run, [0.3, math.nan])
    path = tmp_path / "checkpoint.safetensors"
    run.save(path, trainer, 0)
    return run, trainer, path


def test_a_checkpoint_holds_all_that_a_run_needs_to_go_on(checkpoint):
    run, trainer, path = checkpoint
    resumed = Run(smoke(), "cpu")
    resumed.resume(path)
    other = PlainTrainer([resumed.model], IMAGES, [1.0])
    resumed.start(other, 0)
    assert json.dumps(resumed.history) == json.dumps(run.history)  # NaN is not equal to itself
    assert resumed.schedule.state_dict() == run.schedule.state_dict()
    assert same(resumed.best, run.best) and same(other.state(0), trainer.state(0))
    assert torch.equal(resumed.batches(), run.batches())
    for a, b in ((run, trainer), (resumed, other)):
        b.step(a.batches()[:1])
    assert same(other.state(0), trainer.state(0))


def test_the_checkpoint_of_another_run_is_refused(checkpoint):
    _, _, path = checkpoint
    with pytest.raises(InputError, match=r"checkpoint\.safetensors is the .* of another run"):
        Run(smoke(seed=1), "cpu").resume(path)


def test_the_checkpoint_before_is_used_where_the_last_is_damaged(checkpoint, capsys):
    run, trainer, path = checkpoint
    before = json.dumps(run.history)
    trainer.step(run.batches()[:1])
    run.end_epoch(trainer, 0, 1.0, 0.2, 20.0, 0.5)
    run.save(path, trainer, 0)
    previous = checkpoint_files(path)[1]
    good = path.read_bytes()
    flip(path, len(good) // 2)
    resumed = Run(smoke(), "cpu")
    resumed.resume(path)
    assert json.dumps(resumed.history) == before
    assert f"skipped: {path} is not a valid" in (told := capsys.readouterr().err)
    assert f"checksum mismatch; continuing from {previous}" in told
    # The damaged one does not take the place of the good one.
    other = PlainTrainer([resumed.model], IMAGES, [1.0])
    resumed.start(other, 0)
    resumed.save(path, other, 0)
    last = Run(smoke(), "cpu")
    last.resume(previous)
    assert json.dumps(last.history) == before
    path.unlink()
    last = Run(smoke(), "cpu")
    last.resume(path)
    assert json.dumps(last.history) == before


def test_a_run_whose_checkpoints_are_all_damaged_is_not_begun_anew(checkpoint):
    run, trainer, path = checkpoint
    run.save(path, trainer, 0)
    for file in checkpoint_files(path):
        cut(file, 0.5)
    told = refusal(Run(smoke(), "cpu").resume, path)
    assert "to train this run from the start, delete" in told
    assert all(str(file) in told for file in checkpoint_files(path))
