"""The callers as a process: a real Locust, told by a file what to call, when, where to note it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from emoserve_loadtests.schedule import Schedule, Stage, arrivals
from emoserve_rehearsal.record import Floats, Rows, replace_file

ENVIRONMENT = "EMOSERVE_REHEARSAL"
_USERS = Path(__file__).with_name("users.py")
_BEGIN_S = 120.0


@dataclass(frozen=True)
class World:
    """What the callers know: stages are (seconds, first rate, last rate); paths are files."""

    endpoints: str
    grpc_port: int
    seed: int
    stages: tuple[tuple[float, float, float], ...] = ()
    rows: str = ""

    def with_stages(self, stages: Sequence[tuple[float, float, float]], folder: Path) -> World:
        """Return the same with a schedule; its rows go into the folder."""
        return replace(self, stages=tuple(stages), rows=str(folder / "rows.jsonl"))

    @property
    def seconds(self) -> float:
        return sum(stage[0] for stage in self.stages)

    @property
    def due_s(self) -> Floats:
        """Return when requests are due, seconds since the beginning: the same in every process."""
        schedule = Schedule(tuple(Stage(*stage) for stage in self.stages))
        return arrivals(schedule, self.seed)

    @property
    def began(self) -> Path:
        """Holds the time at which the schedule began, once it has."""
        return Path(self.rows).with_suffix(".began")

    def write_endpoints(self, hosts: Sequence[str]) -> None:
        replace_file(Path(self.endpoints), list(hosts))

    def read_rows(self) -> Rows:
        return Rows.read(Path(self.rows))


class Locust:
    """The process inside a `with` block; it ends by itself when all is answered."""

    def __init__(self, world: World) -> None:
        self._world = world
        folder = Path(world.rows).parent
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "locust.log"
        self._file = folder / "world.json"
        self._file.write_text(json.dumps(asdict(world)))
        world.began.unlink(missing_ok=True)
        self.began_s = 0.0

    def join(self) -> int:
        """Wait for its end and return its exit status: 1 when a request failed."""
        return self._process.wait(self._world.seconds + _BEGIN_S)

    def __enter__(self) -> Locust:
        command = [sys.executable, "-m", "locust", "--locustfile", str(_USERS), "--headless"]
        command += ["--users", "1", "--only-summary", "--reset-stats"]
        environment = {**os.environ, ENVIRONMENT: str(self._file)}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until = time.monotonic() + _BEGIN_S
        while not self._world.began.exists():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Locust did not begin: see {self._log}")
            time.sleep(0.05)
        self.began_s = float(self._world.began.read_text())
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
