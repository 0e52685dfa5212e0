"""Sets that cannot be learned from: one line each, before anything runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from her_exp.config.compose import compose
from her_exp.config.validate import validate
from her_exp.types import UserError
from tests.data.sets import reach_set


def refused(*words: str) -> str:
    with pytest.raises(UserError) as caught:
        validate(compose(["env.max_steps=5", *words]))
    (line,) = str(caught.value).splitlines()
    return line


def put(name: str, values: Any = None, at: Any = None) -> Callable[[Any], None]:
    """What puts values in the place of an array, or into it; None: in the place of it nothing."""

    def tamper(file: Any) -> None:
        if at is None:
            del file[name]
        if values is not None:
            (file if at is None else file[name])[name if at is None else at] = values

    return tamper


def enlarge(file: Any) -> None:
    """A trillion steps that nobody wrote, and that take no room on the disk."""
    del file["episode_1"]
    n = 10**12
    for name, shape in {
        "observations/observation": (n + 1, 4), "observations/achieved_goal": (n + 1, 2),
        "observations/desired_goal": (n + 1, 2), "actions": (n, 2), "rewards": (n,),
        "terminations": (n,), "truncations": (n,),
    }.items():  # fmt: skip
        file.create_dataset(f"episode_1/{name}", shape, "f4", chunks=(1000, *shape[1:]))


ONE = "episode_1/"
TAMPERED = {
    "another shape": (
        put(ONE + "observations/observation", np.zeros((6, 3))),
        "observations/observation of episode 1 has shape (6, 3), and of the 5 steps of an episode of "
        "her_exp/PointReach-v0 it is (6, 4)",
    ),
    "another length": (
        put(ONE + "actions", np.zeros((4, 2))),
        "actions of episode 1 has shape (4,",
    ),
    "a missing key": (
        put(ONE + "observations/achieved_goal"),
        "episode 1 has no numbers observations/achieved_goal",
    ),
    "no goals": (
        put("episode_0/observations", np.zeros((6, 4))),
        "no goals: observations must be a Dict of observation, achieved_goal, desired_goal",
    ),
    "complex": (put(ONE + "rewards", np.zeros(5, complex)), "episode 1 has no numbers rewards"),
    "nothing": (put(ONE + "rewards", h5py.Empty("f4")), "episode 1 has no numbers rewards"),
    "a link": (
        put(ONE + "actions", h5py.ExternalLink("/etc/other.hdf5", "actions")),
        "episode 1 has no numbers actions",
    ),
    "a gap": (put("episode_0"), "holds no episodes episode_0, episode_1, ..."),
    "nan": (
        put(ONE + "observations/observation", np.nan, at=(2, 0)),
        "observations/observation of episode 1 holds what is no finite number",
    ),
    "an action": (put(ONE + "actions", 7.0, at=(0, 0)), "actions of episode 1 reach from"),
    "a reward": (
        put(ONE + "rewards", 3.0, at=2),
        "rewards of episode 1 are -1 to 3, beyond env.reward_range=[-1.0, 0.0]",
    ),
    "an end": (put(ONE + "terminations", True, at=1), "episode 1 ends at step 2 of 5 and goes on"),
    "memory": (enlarge, "its 1,000,000,000,005 steps take "),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_does_not_fit_is_named(case: str, tmp_path: Path) -> None:
    tamper, says = TAMPERED[case]
    folder = reach_set(tmp_path / "set", episodes=2, steps=5)
    with h5py.File(folder / "data/main_data.hdf5", "r+") as file:
        tamper(file)
    # Another place: what was found of a set is kept for the other jobs of a sweep.
    line = refused(f"buffer.demonstrations={folder.rename(tmp_path / 'spoilt')}")
    assert line.startswith(f"buffer.demonstrations={tmp_path}/spoilt: ")
    assert says in line


def test_a_damaged_file_is_said_to_be_one(tmp_path: Path) -> None:
    folder = reach_set(tmp_path / "set", episodes=2, steps=5)
    with h5py.File(folder / "data/main_data.hdf5") as file:
        at = h5py.h5o.get_info(file["episode_1"].id).addr
    with (folder / "data/main_data.hdf5").open("r+b") as raw:
        raw.seek(at)
        raw.write(b"\xff" * 64)
    line = refused(f"buffer.demonstrations={folder}")
    assert "data/main_data.hdf5 cannot be read (" in line
    assert "~nobody-of-that-name/x: no such folder" in refused(
        "buffer.demonstrations='~nobody-of-that-name/x'"
    )


def test_a_set_of_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    folder = reach_set(tmp_path / "root/mine/reach-v0", episodes=1, steps=5)
    given = "buffer.demonstrations="
    validate(compose(["env.max_steps=5", f"{given}mine/reach-v0"]))  # by its id
    line = refused(f"{given}mine/reach-v0", "env=nav2d")
    assert "it is of the env her_exp/PointReach-v0, and env.id is her_exp/Nav2D-v0" in line
    line = refused(f"{given}mine/reach-v0", "buffer.info_keys=[wind]")
    assert "episode 0 has no numbers infos/wind" in line
    assert "minari download D4RL/door-v2" in refused(f"{given}D4RL/door-v2")
    assert "is no Minari set" in refused(f"{given}{tmp_path}")
    about = folder / "data/metadata.json"
    about.write_text(json.dumps({"data_format": "arrow"}))
    assert "only hdf5 is read" in refused(f"{given}{folder}")
    about.write_text("[" * 100_000)
    assert "metadata.json cannot be read" in refused(f"{given}{folder}/data")


def test_offline_updates_need_demonstrations() -> None:
    line = refused("trainer.offline_updates=5")
    assert line.startswith("trainer.offline_updates=5: there is nothing to learn from before")
    assert line.endswith("; give buffer.demonstrations=...")
    assert refused("trainer.total_steps=0").startswith("trainer.total_steps=0: must be >= 1")
    assert "(0, 1]" in refused("buffer.demonstration_share=0")
