"""One run from its first request to its report: rows are gathered here from all workers."""

from __future__ import annotations

from typing import Any

import gevent
import numpy as np

from emoserve_loadtests.exposition import Exposition
from emoserve_loadtests.gates import Gate, read_gates
from emoserve_loadtests.media import read_corpus
from emoserve_loadtests.options import Options
from emoserve_loadtests.report import Report, write_report
from emoserve_loadtests.rows import ROW, Recorder, Rows, merged
from emoserve_loadtests.telemetry import Telemetry

_EXPOSE_S = 1.0


class Run:
    """Listens to Locust in every process; the master or the only process makes the report."""

    def __init__(self, environment: Any, options: Options, prometheus_port: int) -> None:
        self._environment, self._recorder = environment, Recorder()
        self._parts: list[Rows] = []
        self._options = options
        self._gates: tuple[Gate, ...] = ()
        self._telemetry: Telemetry | None = None
        self._exposition = Exposition(prometheus_port)
        self._exposing: Any = None
        environment.events.request.add_listener(self._requested)
        environment.events.report_to_master.add_listener(self._report)
        environment.events.worker_report.add_listener(self._reported)

    def begin(self, options: Options) -> None:
        """Start a run; the rows of an earlier one are forgotten.

        Raises:
            ValueError: the objectives cannot be read.
        """
        self._options, self._parts = options, []
        self._gates = read_gates(options.slo) if options.slo else ()
        self._recorder.drain()
        self._exposing = gevent.spawn(self._expose)
        self._telemetry = Telemetry(options.metrics_url, options.stats_url)
        self._telemetry.start()

    def end(self) -> None:
        """Write the rows and the report, and let the exit code say whether the objectives held."""
        assert self._telemetry is not None
        server = self._telemetry.stop()
        gevent.kill(self._exposing)
        self._gather()
        corpus = read_corpus(self._options.media)
        report = Report(self._options, merged(self._parts), corpus, server, self._gates)
        held = write_report(report)
        self._environment.process_exit_code = 0 if held else 1

    def _expose(self) -> None:
        while True:
            gevent.sleep(_EXPOSE_S)
            self._gather()

    def _gather(self) -> None:
        """Take over what this process recorded itself."""
        self._take(self._recorder.drain())

    def _take(self, rows: Rows) -> None:
        self._parts.append(rows)
        self._exposition.add(rows)

    def _requested(self, row: tuple[Any, ...] | None = None, **_: Any) -> None:
        if row is not None:
            self._recorder.add(row)

    def _report(self, client_id: str, data: dict[str, Any]) -> None:
        data["emoserve"] = self._recorder.drain().tobytes()

    def _reported(self, client_id: str, data: dict[str, Any]) -> None:
        if rows := data.pop("emoserve", None):
            self._take(np.frombuffer(rows, ROW))
