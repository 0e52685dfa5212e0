"""The state of the hindsight buffer where it is loaded; `test_properties` loads it at any moment."""

from __future__ import annotations

from tests.buffers.side_by_side import Rig


def test_state_dict_of_a_buffer_never_used() -> None:
    rig = Rig(24, lanes=2)
    state = rig.buffer.state_dict()
    rig.buffer = rig.new_buffer(seed=999)
    rig.buffer.load_state_dict(state)
    rig.begin().add(9).audit()


def test_a_loaded_buffer_shares_no_memory_with_the_first() -> None:
    rig = Rig(24, lanes=2, seed=5).begin().add(30)
    other = Rig(24, lanes=2, seed=6)
    other.buffer.load_state_dict(rig.buffer.state_dict())
    other.oracle = Rig(24, lanes=2, seed=5).begin().add(30).oracle
    other.begin().add(17).audit(at_least=500)
    rig.audit(at_least=500)
