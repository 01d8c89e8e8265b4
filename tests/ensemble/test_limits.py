import pytest

from emoserve_ensemble.errors import InputError
from emoserve_ensemble.limits import Limits


def test_a_steps_config_overrides() -> None:
    limits = Limits.from_parameters({"max_bytes": "1000", "max_duration_s": "2.5", "networks": "x"})
    assert limits.max_bytes == 1000
    assert limits.max_duration_s == 2.5
    assert limits.max_pixels == Limits().max_pixels


@pytest.mark.parametrize("value", ["0", "-1", "nan"])
def test_a_limit_that_is_not_positive_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="max_duration_s must be positive"):
        Limits.from_parameters({"max_duration_s": value})


def test_messages_state_what_came_and_the_limit() -> None:
    limits = Limits(max_bytes=10, max_pixels=100, max_duration_s=5)
    with pytest.raises(InputError, match="11 bytes; at most 10"):
        limits.check_bytes("audio", 11)
    with pytest.raises(InputError, match="20 x 6 pixels; 1 to 100"):
        limits.check_pixels(20, 6)
    with pytest.raises(InputError, match="lasts 6 s; at most 5 s"):
        limits.check_duration("media", 6)
