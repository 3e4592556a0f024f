"""Self-Shrinking of Sigmoid Slope, 4S: the paper's callback (section II-A)."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor, distributed, nn

from loupe_lib.errors import InputError, check_number, check_whole

Functions = tuple[Callable[[], float], Callable[[float], object]]  # (get, set)
FUNCTIONS_INSTEAD = "pass functions (get, set) in place of the module"


class SelfShrinkingSlope:
    """Raise the slopes of a module when the loss has stopped falling.

    After ``patience`` epochs in a row without a new lowest loss, ``s <- factor * s``, up to
    ``max_slope`` (paper, section II-A). Works on any module: everything called ``name`` in it and
    in its sub-modules is raised, each from its own value.

    In the paper's reading, the loss is that of the *inference* model, with the binarized mask. Soft
    losses at different slopes cannot be compared, since a small slope blurs the mask and lowers the
    loss::

        shrinking = SelfShrinkingSlope(model, patience=40)
        for epoch in range(epochs):
            train(model)
            if shrinking.step(validation_loss(model)):
                print("slope raised")

    Args:
        module: the module that holds the slopes
            (:func:`~loupe_lib.self_shrinking_slope.find_slopes` says what may be one). Or two
            functions ``(get, set)``: ``get()`` returns the slope, ``set(value)`` changes it.
        patience: p >= 1, epochs without a lower loss before a raise. The raise happens when the
            wait *reaches* patience (Keras's convention; torch's schedulers wait one more).
        factor: m > 1.
        max_slope: upper limit of the slope; the last raise ends on it exactly.
        name: the name of the slopes, or several; each must be there. Not used with functions.
        mode: ``"min"`` for a loss; ``"max"`` if higher is better, as for an accuracy.

    Attributes:
        best: the lowest loss so far (the highest with ``"max"``), infinite before the first.
        wait: epochs since then, or since the last raise.

    Raises:
        InputError: if an argument is out of range, if the module has no slope, or if one cannot be
            raised; it is named by its path.
    """

    def __init__(
        self,
        module: nn.Module | Functions,
        patience: int = 40,
        factor: float = 1.5,
        max_slope: float = 1e5,
        *,
        name: str | tuple[str, ...] = "slope",
        mode: str = "min",
    ) -> None:
        if not isinstance(module, nn.Module) and not (
            isinstance(module, tuple) and len(module) == 2 and all(map(callable, module))
        ):
            raise InputError(
                f"module must be an nn.Module, or two functions (get, set); got {module!r}"
            )
        if mode not in ("min", "max"):
            raise InputError(f"mode must be 'min' or 'max'; got {mode!r}")
        self.patience = check_whole("patience", patience, at_least=1)
        self.factor = check_number("factor", factor, above=1)
        self.max_slope = check_number("max_slope", max_slope, above=0)
        self.name = name
        self.mode = mode
        self.best = math.inf if mode == "min" else -math.inf
        self.wait = 0
        self._module = module
        slopes = self._slopes()
        self._check(slopes)
        if all(slope.value > self.max_slope for slope in slopes):
            lowest = min(self.slopes.values())
            raise InputError(f"max_slope must be above the slope, {lowest:g}; got {max_slope:g}")

    @property
    def slopes(self) -> dict[str, float]:
        """The slopes now, by path, such as ``{"encoder.mask.slope": 200.0}``."""
        return {slope.path: float(slope.value) for slope in self._slopes()}

    @property
    def exhausted(self) -> bool:
        """True once no slope can be raised any more."""
        return not self._below_maximum()

    @torch.no_grad()
    def step(self, loss: float) -> bool:
        """Take the loss of the epoch that ended; call once an epoch.

        Where ``torch.distributed`` is initialized, the mean over all ranks is taken, so that their
        slopes stay equal. All ranks must call it then.

        Args:
            loss: the monitored loss, a number or a tensor of one element; lower is better unless
                ``mode="max"``. NaN counts as 'not lower'.

        Returns:
            True if a slope was raised.

        Raises:
            InputError: if the loss is not one number, or if a slope cannot be raised any more, such
                as after ``module.half()``.
        """
        try:
            loss = float(loss)
        except (TypeError, ValueError, RuntimeError):
            got = f"a {type(loss).__name__}"
            raise InputError(f"loss must be one number, such as a mean; got {got}") from None
        loss = _mean_over_ranks(loss)
        if loss < self.best if self.mode == "min" else loss > self.best:
            self.best = loss
            self.wait = 0
        else:
            self.wait += 1
        slopes = self._below_maximum() if self.wait >= self.patience else []
        if not slopes:
            return False
        self._check(slopes)  # again, because the module may be float16 by now
        for slope in slopes:
            slope.set(min(slope.value * self.factor, self.max_slope))
        self.wait = 0
        return True

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs, in JSON types.

        It has ``"slopes"`` only if some are not in the ``state_dict`` of the module.
        """
        slopes = [float(slope.value) for slope in self._slopes() if not slope.in_state]
        return {"best": self.best, "wait": self.wait, **({"slopes": slopes} if slopes else {})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`, after the state of the module has been loaded.

        Raises:
            InputError: if it has another number of slopes than this module.
        """
        slopes = [slope for slope in self._slopes() if not slope.in_state]
        values = state.get("slopes", [])
        if len(values) != len(slopes):
            paths = ", ".join(slope.path for slope in slopes) or "none"
            raise InputError(
                f"the state of 4S has {len(values)} slopes that are not in the state of the module,"
                f" where the module has {len(slopes)} ({paths}): resume with the state of this run"
            )
        for slope, value in zip(slopes, values, strict=True):
            slope.set(value)
        self.best = float(state["best"])
        self.wait = int(state["wait"])

    def _slopes(self) -> list["Slope"]:
        if isinstance(self._module, nn.Module):
            return find_slopes(self._module, self.name)
        get, set_ = self._module
        return [Slope("get()", float(get()), set_, in_state=False)]

    def _below_maximum(self) -> list["Slope"]:
        # torch rounds the maximum to the precision of a tensor, here as in fill_: they are equal.
        return [slope for slope in self._slopes() if slope.value < self.max_slope]

    def _check(self, slopes: list["Slope"]) -> None:
        for slope in slopes:
            value = slope.value
            if not 0 < value < math.inf:
                raise InputError(f"{slope.path} must be finite and above 0; got {float(value)}")
            if not isinstance(value, Tensor):
                continue
            limits = torch.finfo(value.dtype)
            if self.max_slope > limits.max or self.factor <= 1 + limits.eps / 2:
                raise InputError(
                    f"{slope.path} is {value.dtype}, which cannot rise by the factor "
                    f"{self.factor!r} up to {self.max_slope:g}; keep it in float32, or lower "
                    "max_slope"
                )


@dataclass(frozen=True)
class Slope:
    """A slope of a module, as it was when it was looked up.

    Args:
        path: from the module, such as ``encoder.mask.slope``.
        value: a number, or the 0-d tensor itself.
        set: takes another value, a number or a 0-d tensor.
        in_state: whether the ``state_dict`` of the module has it.
    """

    path: str
    value: Tensor | float
    set: Callable[[Any], object]
    in_state: bool


def find_slopes(module: nn.Module, name: str | tuple[str, ...] = "slope") -> list[Slope]:
    """The slopes of a module: everything of that name in it and in its sub-modules.

    A slope is a 0-d tensor of a floating-point type without gradient (a buffer, a parameter with
    ``requires_grad=False``, another tensor), a float or an int. Numbers may be attributes of the
    class; setting them makes them attributes of the module. A property must return such a tensor
    from the state of the module. None counts as absent. Tensors that several paths lead to are one.

    Look them up at each use: ``module.to(device)`` may replace tensors.

    Raises:
        InputError: if a name is not there, or if something of that name is not a slope.
    """
    names = (name,) if isinstance(name, str) else tuple(name)
    if not names or any(not isinstance(key, str) or "." in key for key in names):
        raise InputError(
            f"name must be the name of an attribute, not a path, or several names; got {name!r}"
        )
    state = {id(value): value for value in module.state_dict(keep_vars=True).values()}
    slopes: dict[object, Slope] = {}
    absent = set(names)
    for prefix, owner in module.named_modules():
        for key in names:
            value = _attribute(owner, key)
            if isinstance(value, property) and id(getattr(owner, key)) in state:
                value = getattr(owner, key)
            if value is None:
                continue
            absent.discard(key)
            path = f"{prefix}.{key}" if prefix else key
            if fault := _fault(value):
                raise InputError(
                    f"{path} is no slope that can be changed: it is {fault}, or {FUNCTIONS_INSTEAD}"
                )
            if isinstance(value, Tensor):
                slope = Slope(path, value, value.fill_, id(value) in state)
                slopes.setdefault(id(value), slope)
            else:
                slopes[path] = Slope(path, float(value), partial(setattr, owner, key), False)
    if absent:
        raise InputError(
            f"the module has nothing named {' or '.join(map(repr, sorted(absent)))} to raise: give "
            f"the name of its slope as `name`, or {FUNCTIONS_INSTEAD}"
        )
    return list(slopes.values())


def _attribute(module: nn.Module, name: str) -> Any:
    if isinstance(module, torch.jit.ScriptModule):
        return getattr(module, name, None)
    # Not getattr: a module that torch.compile returns forwards it to the one inside.
    for registered in (module._parameters, module._buffers, module._modules):
        if name in registered:
            return registered[name]
    return inspect.getattr_static(module, name, None)


def _fault(value: object) -> str:
    """What is wrong with a slope and what to do; empty if nothing is."""
    if isinstance(value, property):
        return "a property, of no tensor in the state_dict; name what it is computed from"
    if not isinstance(value, Tensor):
        number = isinstance(value, Real) and not isinstance(value, bool)
        return "" if number else f"of type {type(value).__name__}; name a tensor or a number"
    if value.requires_grad:
        return "trained; set its requires_grad to False"
    if value.dim():
        return f"a tensor of shape {tuple(value.shape)}; make it 0-d"
    return "" if value.is_floating_point() else f"a tensor of {value.dtype}; make it float32"


def _mean_over_ranks(loss: float) -> float:
    if not (distributed.is_available() and distributed.is_initialized()):
        return loss
    losses = [loss] * distributed.get_world_size()
    distributed.all_gather_object(losses, loss)  # on the device that the backend needs
    return sum(losses) / len(losses)
