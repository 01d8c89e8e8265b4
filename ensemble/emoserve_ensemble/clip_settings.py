"""What a caller may set for one clip: the JSON of `options`."""

import json
from dataclasses import dataclass

from emoserve_ensemble.errors import InputError
from emoserve_ensemble.media import Sampling


@dataclass(frozen=True)
class ClipSettings:
    """What a caller may set for one clip.

    Attributes:
        frame_rate_hz: sampled frames a second; 0 looks at no pictures.
        max_side_px: sampled frames are shrunk to this.
        scenes: look at the first frame of each scene too.
        transcribe: recognise the words where no transcript is given.
        threshold: confidence under which a dominant emotion is «uncertain».
        frames: tell each utterance's faces frame by frame.
    """

    frame_rate_hz: float = 2.0
    max_side_px: int = 640
    scenes: bool = False
    transcribe: bool = True
    threshold: float = 0.4
    frames: bool = False

    @property
    def sampling(self) -> Sampling:
        """Which frames of the clip are looked at."""
        return Sampling(self.frame_rate_hz, self.max_side_px, self.scenes)

    @classmethod
    def from_options(cls, options: bytes | None) -> "ClipSettings":
        """Return the settings that a caller's JSON asks for.

        Raises:
            InputError: not a JSON object, an unknown name, or a value of the wrong type or range.
        """
        if not options:
            return cls()
        try:
            given = json.loads(options)
        except (ValueError, RecursionError) as error:
            raise InputError("bad_option", f"options is not JSON: {error}") from error
        if not isinstance(given, dict):
            found = type(given).__name__
            raise InputError("bad_option", f"options is a {found}; an object is accepted")
        unknown = sorted(set(given) - set(_RANGES))
        if unknown:
            raise InputError("bad_option", f"options {unknown}; known are {sorted(_RANGES)}")
        for name, value in given.items():
            _check(name, value)
        return cls(**given)


_RANGES: dict[str, tuple[float, float] | None] = {
    "frame_rate_hz": (0.0, 60.0),
    "max_side_px": (64, 4096),
    "scenes": None,
    "transcribe": None,
    "threshold": (0.0, 1.0),
    "frames": None,
}


def _check(name: str, value: object) -> None:
    bounds = _RANGES[name]
    if bounds is None:
        if not isinstance(value, bool):
            raise InputError("bad_option", f"{name} is {value!r}; true or false is accepted")
        return
    low, high = bounds
    whole = isinstance(low, int)
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # type: ignore[operator]
        raise InputError("bad_option", f"{name} is {value!r}; {low} to {high} is accepted")
