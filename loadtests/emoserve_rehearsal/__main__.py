"""`make rehearsal`: play, judge, draw."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from emoserve_rehearsal.comparison import agreement, simulated
from emoserve_rehearsal.figures import draw
from emoserve_rehearsal.rehearsal import Rehearsal, Result
from emoserve_rehearsal.timing import CORES, ROOT
from emoserve_rehearsal.verdict import verdict
from emoserve_server.scaling import Capacity

_EXAMPLES = """\
examples:
  python -m emoserve_rehearsal                    six minutes
  python -m emoserve_rehearsal --figure docs/figures/rehearsal.png

exit status: 0 everything held, 1 something did not, 2 a part is missing
"""


def main() -> int:
    """Run the rehearsal and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m emoserve_rehearsal",
        description="Scale, roll out, kill and blind real Tritons under load, as Kubernetes would.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--repository", type=Path, default=ROOT / "model_repository", metavar="FOLDER")
    add("--output", type=Path, default=ROOT / "out/rehearsal", metavar="FOLDER",
        help="rows, logs, JSON and the picture (default: out/rehearsal)")  # fmt: skip
    add("--figure", type=Path, metavar="FILE", help="the picture goes here as well")
    options = parser.parse_args()
    console, began = Console(highlight=False), time.monotonic()

    def tell(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s[/]  {line}")

    try:
        result = Rehearsal(options.repository, options.output, tell).run()
    except FileNotFoundError as error:
        console.print(f"rehearsal: {error}", markup=False)
        return 2
    held = _report(result, options, console)
    tell("done" if held else "NOT HELD")
    return 0 if held else 1


def _report(result: Result, options: argparse.Namespace, console: Console) -> bool:
    found = simulated(result)
    beside = agreement(result, found)
    pictures = [options.output / "rehearsal.png", *([options.figure] if options.figure else [])]
    for path in pictures:
        draw(result, found, path)
    claims = verdict(result)
    for claim, held in claims:
        console.print(f"{'[green]yes[/]' if held else '[red]NO [/]'}  {claim}")
    again = Counter(int(one) for one in result.rows.retried if one)
    console.print(f"sends that were repeated, by requests: {dict(again) or 'none'}")
    console.print(
        f"simulation beside it: most replicas {beside.replicas_most[1]} for "
        f"{beside.replicas_most[0]} seen, {beside.replicas_mean_difference:.2f} pods apart on "
        f"average, p95 {beside.p95_ratio:.2f} times the measured"
    )
    for error, count in Counter(result.rows.failures).most_common(5):
        console.print(f"{count} x {error}", markup=False)
    content = {
        "cores_per_pod": CORES,
        "capacity": asdict(result.capacity),
        "reasons": result.plan.reasons,
        "claims": [{"claim": claim, "held": held} for claim, held in claims],
        "requests": len(result.rows.due_s),
        "failed": len(result.rows.failures),
        "repeated": sum(again.values()),
        "events": result.record.events,
        "simulation": asdict(beside),
        "samples": [asdict(sample) for sample in result.record.samples],
    }
    (options.output / "rehearsal.json").write_text(json.dumps(content, indent=1) + "\n")
    (options.output / "capacity.json").write_text(_capacity_file(result.capacity))
    console.print(f"{pictures[-1]} and {options.output / 'rehearsal.json'}")
    return all(held for _, held in claims)


def _capacity_file(capacity: Capacity) -> str:
    """The calibration in the format of k8s/capacity, for `emoserve k8s plan --capacity`."""
    pipelines = {
        one.name: {"slo_p95_s": one.slo_p95_s, "points": [asdict(point) for point in one.points]}
        for one in capacity.pipelines
    }
    content = {
        "format": 1,
        "measured": capacity.measured,
        "startup_s": capacity.startup_s,
        "pipelines": pipelines,
    }
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(main())
