"""`emoserve stats`: what each model has done since the server started, and how long it took."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from emoserve_client._commands import server
from emoserve_client._metadata import ModelStatistics
from emoserve_client.cli import DONE

if TYPE_CHECKING:
    from rich.table import Table

_EXAMPLES = """\
  emoserve stats               every model that was called
  emoserve stats video --json  one model, for programs
"""
_PARTS = ("queue", "compute_input", "compute_infer", "compute_output")


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    parser = server.parser("stats", "What the server has done, and how fast.", _EXAMPLES)
    parser.add_argument("model", nargs="?", default="", help="only this one")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    return server.guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    with server.client(options) as client:
        by_server = client.statistics(options.model)
    if options.json:
        plain = {url: [one.to_dict() for one in found] for url, found in by_server.items()}
        print(json.dumps(plain, indent=2))
        return DONE
    from rich.console import Console

    console = Console(highlight=False)
    for url, found in by_server.items():
        called = [
            one for one in found if one.durations["success"].count + one.durations["fail"].count
        ]
        if len(by_server) > 1 or not called:
            console.print(f"[bold]{url}[/]" if called else f"{url}: no model was called yet")
        if called:
            console.print(_table(called))
    return DONE


def _table(found: Sequence[ModelStatistics]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False, caption="milliseconds are means")
    table.add_column("model")
    for name in ("requests", "failed", "batch", "total ms", "queue", "input", "infer", "output"):
        table.add_column(name, justify="right")
    for one in found:
        executions = max(1, one.execution_count)
        table.add_row(
            one.name,
            str(one.durations["success"].count),
            str(one.durations["fail"].count),
            f"{one.inference_count / executions:.1f}",
            f"{one.durations['success'].mean_ms:.1f}",
            *(f"{one.durations[part].mean_ms:.1f}" for part in _PARTS),
        )
    return table
