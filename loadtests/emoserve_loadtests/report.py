"""A run's report: `report.json` with the figures, `report.html` for people, `rows.npz` with all."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from emoserve_client import __version__
from emoserve_loadtests import gates, page
from emoserve_loadtests.accuracy import accuracy
from emoserve_loadtests.media import Corpus
from emoserve_loadtests.options import Options
from emoserve_loadtests.rows import Rows
from emoserve_loadtests.server_figures import cores_of_others, in_words, per_model
from emoserve_loadtests.summary import figures, timeline

FORMAT = 1


@dataclass(frozen=True)
class Report:
    """What a report is made of."""

    options: Options
    rows: Rows
    corpus: Corpus
    server: dict[str, Any]
    gates: tuple[gates.Gate, ...]


def write_report(report: Report) -> bool:
    """Write the three files; return whether all objectives held.

    Without objectives a run holds when it had requests and none failed.
    """
    out = report.options.out
    out.mkdir(parents=True, exist_ok=True)
    content = contents(report)
    (out / "report.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    (out / "report.html").write_text(page.html(content), encoding="utf-8")
    np.savez_compressed(out / "rows.npz", rows=report.rows)
    print(page.text(content))
    print(f"report: {out / 'report.html'}  {out / 'report.json'}")
    return held(content)


def held(content: dict[str, Any]) -> bool:
    """Return whether a report's objectives held."""
    if content["gates"]:
        return all(gate["held"] for gate in content["gates"])
    total = content["total"]
    return bool(total["requests"]) and not total["errors"]


def contents(report: Report) -> dict[str, Any]:
    """Return the report as JSON has it."""
    options, rows = report.options, report.rows
    found = figures(rows, options.schedule, options.settle_s)
    began_s = float((rows["scheduled_s"] - rows["offset_s"]).min()) if len(rows) else 0.0
    samples = report.server["samples"]
    for sample in samples:
        sample["at_s"] = round(sample["at_s"] - began_s, 3)  # on the run's own clock
    return {
        "format": FORMAT,
        "run": _facts(options, report.corpus, began_s),
        **found,
        "timeline": timeline(rows, options.schedule.seconds),
        "accuracy": accuracy(rows, report.corpus),
        "server": {
            "models": per_model(samples),
            "facts": in_words(samples, options.schedule.seconds),
            "cores_of_others": cores_of_others(samples, options.schedule.seconds),
            **report.server,
        },
        "gates": gates.check(report.gates, found),
    }


def _facts(options: Options, corpus: Corpus, began_s: float) -> dict[str, Any]:
    return {
        "began": datetime.fromtimestamp(began_s, timezone.utc).isoformat(timespec="seconds"),
        "url": options.url,
        "loop": options.loop,
        "seconds": options.schedule.seconds,
        "settle_seconds": options.settle_s,
        "levels": [[stage.first, stage.last, stage.seconds] for stage in options.schedule.stages],
        "seed": options.seed,
        "payloads": corpus.origin,
        "emoserve": __version__,
        "machine": f"{_processor()}, {psutil.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, Python {platform.python_version()}",
    }


def _processor() -> str:
    """The processor's name where Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
