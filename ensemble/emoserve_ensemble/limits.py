"""How much of a stranger's media is accepted, in one place."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from emoserve_ensemble.errors import InputError


@dataclass(frozen=True)
class Limits:
    """Bounds that are checked before and while decoding. Each is a parameter of a step's config."""

    max_bytes: int = 512 * 2**20
    max_pixels: int = 40_000_000  # one picture or frame
    max_duration_s: float = 4 * 3600.0
    max_streams: int = 16
    max_frame_rate_hz: float = 240.0
    max_decode_s: float = 3600.0
    max_text_chars: int = 100_000

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> "Limits":
        """Return the limits with those overridden that a step's config names.

        Raises:
            ValueError: a value is not a positive number.
        """
        given: dict[str, Any] = {}
        for field in fields(cls):
            if field.name in parameters:
                value = float(parameters[field.name])
                if not value > 0:
                    raise ValueError(f"{field.name} must be positive, got {parameters[field.name]}")
                given[field.name] = int(value) if field.type is int else value
        return cls(**given)

    def check_bytes(self, what: str, size_bytes: int) -> None:
        if size_bytes > self.max_bytes:
            raise InputError(
                "too_large", f"{what}: {size_bytes} bytes; at most {self.max_bytes} are accepted"
            )

    def check_pixels(self, width: int, height: int) -> None:
        if width < 1 or height < 1 or width * height > self.max_pixels:
            raise InputError(
                "too_large",
                f"image: {width} x {height} pixels; 1 to {self.max_pixels} pixels are accepted",
            )

    def check_duration(self, what: str, duration_s: float) -> None:
        if duration_s > self.max_duration_s:
            most = self.max_duration_s
            raise InputError(
                "too_long", f"{what}: lasts {duration_s:.0f} s; at most {most:.0f} s are accepted"
            )
