"""Goal environments. Importing this package registers our own with Gymnasium.

`her_exp/PointReach-v0`, `her_exp/Nav2D-v0` and `her_exp/BitFlip-v0` each have a single and a
natively batched vector entry point. They count their own steps (`max_steps`, `n_bits`), so none
needs Gymnasium's TimeLimit, which would know nothing of an overridden length.
"""

from __future__ import annotations

import gymnasium as gym

_ENVS = {
    "her_exp/PointReach-v0": "her_exp.envs.tasks.point_reach:PointReach",
    "her_exp/Nav2D-v0": "her_exp.envs.tasks.nav2d:Nav2D",
    "her_exp/BitFlip-v0": "her_exp.envs.tasks.bit_flip:BitFlip",
}

for _id, _class in _ENVS.items():
    if _id not in gym.registry:  # a module can be imported twice (reload): register once, silently
        gym.register(_id, entry_point=f"{_class}Env", vector_entry_point=f"{_class}VectorEnv")
