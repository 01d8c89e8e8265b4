"""`emoserve models`: what the server serves."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from emoserve_client._commands import server
from emoserve_client.cli import DONE

_EXAMPLES = """\
  emoserve models              every model and its state
  emoserve models face_net     one model's inputs and outputs
  emoserve models --json       for programs
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    parser = server.parser("models", "What the server serves.", _EXAMPLES)
    parser.add_argument("model", nargs="?", help="tell this one's inputs and outputs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    return server.guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    with server.client(options) as client:
        if options.model:
            info = client.model(options.model).info()
            print(info.to_json(indent=2) if options.json else _described(info))
            return DONE
        models = client.models()
    if options.json:
        print(json.dumps([one.to_dict() for one in models], indent=2))
        return DONE
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "version", "state", "why", box=None, header_style="dim", pad_edge=False)
    for one in models:
        style = "green" if one.ready else "red"
        state = f"[{style}]{one.state.lower() or 'not loaded'}[/]"
        table.add_row(one.name, one.version, state, one.reason)
    Console(highlight=False).print(table)
    return DONE


def _described(info: object) -> str:
    from emoserve_client._metadata import ModelInfo

    assert isinstance(info, ModelInfo)
    lines = [f"{info.name} ({info.platform or 'pipeline'}), versions {', '.join(info.versions)}"]
    for title, specs in (("in", info.inputs), ("out", info.outputs)):
        lines += [f"  {title:<4}{one}" for one in specs]
    return "\n".join(lines)
