"""The state of the hindsight buffer where it is loaded; `test_properties` loads it at any moment."""

from __future__ import annotations

from tests.buffers.side_by_side import Both


def test_state_dict_of_a_buffer_never_used() -> None:
    both = Both(24, lanes=2)
    state = both.buffer.state_dict()
    both.buffer = both.new_buffer(seed=999)
    both.buffer.load_state_dict(state)
    both.begin().add(9).audit()


def test_a_loaded_buffer_shares_no_memory_with_the_first() -> None:
    both = Both(24, lanes=2, seed=5).begin().add(30)
    other = Both(24, lanes=2, seed=6)
    other.buffer.load_state_dict(both.buffer.state_dict())
    other.oracle = Both(24, lanes=2, seed=5).begin().add(30).oracle
    other.begin().add(17).audit(at_least=500)
    both.audit(at_least=500)
