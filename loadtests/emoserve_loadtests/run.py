"""One run from its first request to its report: rows are gathered here from all workers."""

from __future__ import annotations

from typing import Any

import numpy as np

from emoserve_loadtests.options import Options
from emoserve_loadtests.rows import ROW, Recorder, Rows, merged


class Run:
    """Listens to Locust in every process; the master or the only process makes the report."""

    def __init__(self, environment: Any) -> None:
        self._environment, self._recorder = environment, Recorder()
        self._parts: list[Rows] = []
        self._options: Options | None = None
        environment.events.request.add_listener(self._requested)
        environment.events.report_to_master.add_listener(self._report)
        environment.events.worker_report.add_listener(self._reported)

    def begin(self, options: Options) -> None:
        """Start a run; the rows of an earlier one are forgotten."""
        self._options, self._parts = options, []
        self._recorder.drain()

    def end(self) -> None:
        """Write the rows and the report."""
        assert self._options is not None
        rows = merged([*self._parts, self._recorder.drain()])
        self._options.out.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(self._options.out / "rows.npz", rows=rows)

    def _requested(self, row: tuple[Any, ...] | None = None, **_: Any) -> None:
        if row is not None:
            self._recorder.add(row)

    def _report(self, client_id: str, data: dict[str, Any]) -> None:
        data["emoserve"] = self._recorder.drain().tobytes()

    def _reported(self, client_id: str, data: dict[str, Any]) -> None:
        if rows := data.pop("emoserve", None):
            self._parts.append(np.frombuffer(rows, ROW))
