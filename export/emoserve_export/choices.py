"""What the caller of an export chose, and what the export did."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from emoserve_export.declaration import Precision, Profile
from emoserve_export.parity import Comparison

if TYPE_CHECKING:
    from emoserve_export.tune import Trial


@dataclass(frozen=True)
class Choices:
    """What the caller chose.

    Attributes:
        force: export again what is up to date.
        keep: versions of each network that stay on disk.
        with_steps: also write the Python steps.
        precision: for every network; None takes the published one, else the declared one.
        tune: measure all precisions and take the fastest that is good enough.
        samples: folder with `<network>.npz` of real data.
        max_queue_size: requests that may wait for each model; 0 for no bound.
        queue_delay_us: how long requests wait for company where a step gains by it.
    """

    profile: Profile = "cpu"
    force: bool = False
    keep: int = 3
    with_steps: bool = True
    precision: Precision | None = None
    tune: bool = False
    samples: Path | None = None
    max_queue_size: int = 0
    queue_delay_us: int = 0


@dataclass
class Report:
    """What an export did."""

    rows: list[Comparison] = field(default_factory=list)
    trials: "dict[str, list[Trial]]" = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
