"""What sessions saw, as the report reads it: a JSON file per session, joined by workload."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emoserve_peers.rounds import Series


@dataclass
class Footprint:
    """What a server takes beside answering.

    Attributes:
        start_s: from the start of its process, alone, to its first answer; median of the rounds.
        memory_mb: PSS of all its processes, after the rounds.
        idle: share of one core while nobody calls.
    """

    start_s: float = 0.0
    memory_mb: float = 0.0
    idle: float = 0.0


@dataclass
class Record:
    """All that the sessions of one workload saw.

    Attributes:
        differences: largest difference of each system's answers from the limit's.
        footprints: by server.
        series: by number of callers, then by system.
    """

    workload: str
    what: str
    differences: dict[str, float] = field(default_factory=dict)
    footprints: dict[str, Footprint] = field(default_factory=dict)
    series: dict[int, dict[str, Series]] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Return the file that was written; its name tells the workload and the callers."""
        callers = "-".join(map(str, self.series))
        path = folder / f"{self.workload}-{callers}.json"
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return path


def read(folder: Path) -> dict[str, Record]:
    """Return the records by workload; where files hold the same thing, the newest one's counts."""
    records: dict[str, Record] = {}
    for path in sorted(folder.glob("*-[0-9]*.json"), key=lambda path: path.stat().st_mtime):
        one = _record(json.loads(path.read_text()))
        known = records.setdefault(one.workload, one)
        known.differences |= one.differences
        known.footprints |= one.footprints
        known.series |= one.series
    return records


def _record(content: Mapping[str, Any]) -> Record:
    return Record(
        content["workload"],
        content["what"],
        dict(content["differences"]),
        {name: Footprint(**one) for name, one in content["footprints"].items()},
        {
            int(callers): {name: Series(**one) for name, one in systems.items()}
            for callers, systems in content["series"].items()
        },
    )
