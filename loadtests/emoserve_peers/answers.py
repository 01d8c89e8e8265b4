"""Whether two servers give the same answer; a comparison of speed without that means nothing."""

import json
import math
from typing import Any, TypeAlias

Json: TypeAlias = Any

_PER_PIXEL = 1e-3  # a box may be off by two pixels


def difference(wanted: bytes, got: bytes) -> float:
    """Return the largest difference of two answers' numbers, infinite where words differ.

    The same networks must have answered, in whatever version: a tuned one has its own number.
    """
    first, second = (_without_versions(json.loads(answer)) for answer in (wanted, got))
    return _worst(first, second, 1.0)


def _without_versions(answer: Json) -> Json:
    return answer | {"models": sorted(answer["models"])} if "models" in answer else answer


def _worst(wanted: Json, got: Json, weight: float) -> float:
    if isinstance(wanted, dict) and isinstance(got, dict) and wanted.keys() == got.keys():
        return max(
            (_worst(value, got[name], _weight(name, weight)) for name, value in wanted.items()),
            default=0.0,
        )
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        pairs = zip(_in_order(wanted), _in_order(got), strict=True)
        return max((_worst(*pair, weight) for pair in pairs), default=0.0)
    if _is_number(wanted) and _is_number(got):
        return abs(float(wanted) - float(got)) * weight
    return 0.0 if wanted == got else math.inf


def _weight(name: str, weight: float) -> float:
    return _PER_PIXEL if name == "box" else weight


def _in_order(values: list[Json]) -> list[Json]:
    """Return scores by label: two that nearly tie may be ranked either way."""
    if all(isinstance(value, dict) and "label" in value for value in values):
        return sorted(values, key=lambda value: str(value["label"]))
    return values


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
