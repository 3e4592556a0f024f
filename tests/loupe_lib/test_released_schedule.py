"""The released schedule against trajectories of the authors' own Keras callback.

``data/released_4s.json`` records what github.com/SSIGPRO/self-shrinking-slope did on scripted
losses, epoch by epoch, in float32.
"""

import json
import math
from pathlib import Path

import pytest

from loupe_lib import InputError, ReleasedSchedule

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "released_4s.json").read_text("utf-8"))
NAMES = {
    "initial_slope": "slope",
    "initial_lr": "lr",
    "patienceSlope": "patience_slope",
    "patienceEarly": "patience_early",
    "patienceLR": "patience_lr",
    "idlePatience": "idle_patience",
    "maxSlope": "max_slope",
    "changeSlope": "change_slope",
    "changeLR": "change_lr",
    "minLR": "min_lr",
    "double_round": "double_round",
    "exitIdleIfImprove": "exit_idle_if_improve",
}


@pytest.mark.parametrize("case", RECORDED)
def test_every_epoch_is_that_of_the_authors_callback(case):
    settings = {  # one group of layers: lists of one patience
        NAMES[name]: value[0] if isinstance(value, list) else value
        for name, value in case["settings"].items()
    }
    schedule = ReleasedSchedule(**settings)
    slopes, rates, restored, stopped = [], [], [], None
    for epoch, loss in enumerate(case["losses"]):
        schedule.step(loss)
        slopes.append(schedule.slope)
        rates.append(schedule.lr)
        if schedule.restore_epoch is not None:
            restored.append([epoch, schedule.restore_epoch])
        if schedule.stopped:
            stopped = epoch
            break
    assert slopes == case["slope"]
    assert rates == case["lr"]
    assert restored == case["restored"]
    assert stopped == case["stop_epoch"]


REFUSED = {
    "slope": math.nan,
    "lr": -0.01,
    "max_slope": math.inf,
    "min_lr": 0,
    "patience_slope": 0,
    "patience_early": 1.5,
    "patience_lr": math.nan,
    "idle_patience": -1,
    "change_slope": 1,
    "change_lr": 1,
}


@pytest.mark.parametrize(("setting", "value"), REFUSED.items(), ids=REFUSED.keys())
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(InputError, match=f"^{setting} must .*; got {value}$"):
        ReleasedSchedule(**{"slope": 200, "lr": 0.01, setting: value})
