"""The options of a run: the same on Locust's command line and on its web page."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoserve_loadtests.schedule import SHAPES, Schedule, make_schedule

DEFAULT_URL = "grpc://127.0.0.1:8001"
DRAIN_S = 5.0  # beyond the calls' own time limit


@dataclass(frozen=True)
class Options:
    """What a run does; `url` is Locust's host."""

    url: str
    loop: str
    schedule: Schedule
    settle_s: float
    seed: int
    timeout_s: float
    media: Path | None
    out: Path
    slo: Path | None
    stats_url: str
    metrics_url: str
    prometheus_port: int
    streams: int

    @property
    def open_loop(self) -> bool:
        """Whether requests arrive by themselves, however long the answers take."""
        return self.loop == "open"


def add_arguments(parser: Any) -> None:
    """Add the options to Locust's parser."""
    add = parser.add_argument
    add("--loop", choices=("closed", "open"), default="closed",
        help="closed: callers that wait for each answer; open: Poisson arrivals")  # fmt: skip
    add("--shape", choices=SHAPES, default="steps", help="how the level changes")
    add("--levels", default="4", metavar="A,B,...",
        help="callers (closed) or requests per second (open), such as 10,20,40")  # fmt: skip
    add("--stage-seconds", type=float, default=20.0, help="length of each stage of the shape")
    add("--settle-seconds", type=float, default=1.0,
        help="what is left out of the figures at the start of each stage")  # fmt: skip
    add("--seed", type=int, default=1, help="of arrivals and payloads")
    add("--timeout", type=float, default=30.0, help="seconds for a call, clips too")
    add("--media", default="", metavar="FOLDER", help="pictures, sound, clips, .txt of your own")
    add("--out", default="out/load", metavar="FOLDER", help="where the report goes")
    add("--slo", default="", metavar="FILE", help="gates in TOML; the exit code says if they held")
    add("--stats-url", default="", help="Triton's HTTP address, if it is not on the host's 8000")
    add("--metrics-url", default="", help="Triton's metrics, if not on the host's 8002/metrics")
    add("--prometheus-port", type=int, default=0, include_in_web_ui=False,
        help="show the run's own metrics on this port")  # fmt: skip
    add("--streams", type=int, default=1, include_in_web_ui=False, help=argparse.SUPPRESS)


def read_options(parsed: Any) -> Options:
    """Return the options of Locust's parsed command line or web form.

    Raises:
        ValueError: levels or lengths make no schedule.
    """
    url = parsed.host or os.environ.get("EMOSERVE_URL") or DEFAULT_URL
    levels = [float(one) for one in str(parsed.levels).split(",") if one.strip()]
    host = url.split(",")[0].split("://")[-1].rsplit(":", 1)[0]
    return Options(
        url=url,
        loop=parsed.loop,
        schedule=make_schedule(parsed.shape, levels, float(parsed.stage_seconds)),
        settle_s=float(parsed.settle_seconds),
        seed=int(parsed.seed),
        timeout_s=float(parsed.timeout),
        media=Path(parsed.media) if parsed.media else None,
        out=Path(parsed.out),
        slo=Path(parsed.slo) if parsed.slo else None,
        stats_url=parsed.stats_url or f"http://{host}:8000",
        metrics_url=parsed.metrics_url or f"http://{host}:8002/metrics",
        prometheus_port=int(parsed.prometheus_port),
        streams=int(parsed.streams),
    )
