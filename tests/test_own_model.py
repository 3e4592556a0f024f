"""The code on the page '4S in a model of your own' runs as it stands."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from loupe_lib import InputError, SelfShrinkingSlope
from tests.common import ROOT

PAGE = (ROOT / "book" / "own_model.md").read_text("utf-8")
LAYER, *_ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ACCELERATE = PAGE.partition("Accelerate")[2].split("```python\n")[1].partition("```")[0]
TABS = dict(re.findall(r":::\{tab-item\} (\w+)\n```python\n(.*?)```", PAGE, re.DOTALL))
ROWS = dict(re.findall(r"^\| (.*?) \| `(.*?)`", PAGE.partition("## Your slope")[2], re.MULTILINE))

# The inputs of the validation are zeros, so that its loss is always log 2.
TRAIN = [(torch.randn(4, generator=torch.manual_seed(n)), n % 2) for n in range(8)]
VALIDATION = [(torch.zeros(4), n % 2) for n in range(4)]


def with_layer() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(LAYER, names)
    return names


def network() -> nn.Sequential:
    return nn.Sequential(with_layer()["Gate"](4), nn.Linear(4, 2, bias=False))


def loop() -> dict[str, Any]:
    """The names that the text of the page gives to its reader's own things."""
    model = network()
    return {
        "torch": torch,
        "model": model,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": torch.optim.SGD(model.parameters(), 0.1),
        "train_loader": DataLoader(TRAIN, 4),
        "val_loader": DataLoader(VALIDATION, 4),
        "epochs": 11,
    }


def test_the_layer_is_relaxed_in_training_and_binary_in_eval():
    model = network()
    x = torch.ones(1000, 4)
    assert len(model[0].train()(x).unique()) > 1000
    assert model[0].eval()(x).unique().tolist() in ([0, 1], [0], [1])
    model.train()(x).square().sum().backward()
    assert (model[0].gamma.grad != 0).all()


def lightning_names() -> dict[str, Any]:
    from pytorch_lightning import LightningModule

    names = loop()

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = names["model"]

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            return cross_entropy(self.model(batch[0]), batch[1])

        def validation_step(self, batch: list[Tensor], index: int) -> None:
            self.log("val_loss", self.training_step(batch, index), sync_dist=True)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return names["optimizer"]

    return {**names, "module": Module()}


def transformers_names() -> dict[str, Any]:
    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.network(x)
            return {"loss": cross_entropy(logits, labels), "logits": logits}

    train, validation = ([{"x": x, "labels": y} for x, y in s] for s in (TRAIN, VALIDATION))
    return {"model": WithLoss(), "train_set": train, "val_set": validation, "epochs": 11}


NAMES: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "PyTorch": ("torch", loop),
    "Lightning": ("pytorch_lightning", lightning_names),
    "Ignite": ("ignite", loop),
    "Transformers": ("transformers", transformers_names),
}


def test_the_page_has_a_tab_for_each_framework():
    assert list(TABS) == list(NAMES)
    assert max(code.count("\n") for code in TABS.values()) <= 15


# What the frameworks say of each other, and of so small a training.
@pytest.mark.filterwarnings(
    "ignore:.*tensorboardX",
    "ignore:.*LeafSpec",
    "ignore:The number of training batches",
    "ignore:The .srun. command",
    "ignore:'pin_memory' argument",
)
@pytest.mark.parametrize("tab", NAMES)
def test_every_tab_trains_and_raises_the_slope(tab, tmp_path, monkeypatch):
    package, make = NAMES[tab]
    pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names = make()
    gate = next(m for m in names["model"].modules() if hasattr(m, "gamma"))
    gamma = gate.gamma.detach().clone()
    exec(TABS[tab], names)
    # The first of 11 equal losses is the lowest; the next 5, and 5 more, raise the slope.
    assert gate.slope == 22.5
    assert not torch.equal(gate.gamma, gamma)


def test_accelerate_saves_and_restores_the_state_of_4s(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    model = accelerator.prepare(network())
    names = {"SelfShrinkingSlope": SelfShrinkingSlope, "accelerator": accelerator, "model": model}
    exec(ACCELERATE, {**names, "val_loss": 0.5}, names)
    shrinking = names["shrinking"]
    shrinking.step(1.0)
    accelerator.save_state(tmp_path)
    assert [shrinking.step(1.0) for _ in range(4)] == [False, False, False, True]
    accelerator.load_state(tmp_path)
    assert shrinking.state_dict() == {"best": 0.5, "wait": 1}
    assert list(shrinking.slopes.values()) == [10]


@pytest.mark.parametrize("code", [code for code in ROWS.values() if code.startswith("Self")])
def test_every_row_of_the_table_raises_a_slope(code):
    layer = with_layer()["Gate"](4)
    layer.sample_slope, layer.straight_through_slope, layer.tau = 10.0, 10, 0.1
    other = {"slope": 10.0}
    names = {
        "SelfShrinkingSlope": SelfShrinkingSlope,
        "layer": layer,
        "model": nn.Sequential(layer),
        "policy": layer,
        "get": lambda: other["slope"],
        "set": lambda value: other.update(slope=value),
    }
    shrinking = eval(code, names)
    assert not any([shrinking.step(1.0) for _ in range(40)]) and shrinking.step(1.0)
    assert list(shrinking.slopes.values()) == len(shrinking.slopes) * [pytest.approx(15)]
    assert len(shrinking.slopes) == (2 if "(" in code.partition("name=")[2] else 1)


@pytest.mark.parametrize(
    ("row", "prepare"),
    [
        ("a trained parameter", lambda x: setattr(x, "slope", nn.Parameter(torch.tensor(9.0)))),
        ("in half precision", nn.Module.half),
    ],
)
def test_what_is_refused_is_raised_after_the_line_of_the_table(row, prepare):
    layer = with_layer()["Gate"](4)
    if row == "a trained parameter":
        del layer.slope
    prepare(layer)
    with pytest.raises(InputError, match=r"^slope "):
        SelfShrinkingSlope(layer)
    exec(ROWS[row], {"layer": layer})
    assert len(SelfShrinkingSlope(layer).slopes) == 1
