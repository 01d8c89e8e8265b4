"""`emoserve health`: whether the server, and a model, take requests. For people and probes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from emoserve_client._commands import server
from emoserve_client._session import START_HINT
from emoserve_client.cli import DONE, NO_SERVER, SERVER_FAILED

_EXAMPLES = """\
  emoserve health                       exit code 0 when the server takes requests, else 4 or 5
  emoserve health video --wait 60       wait up to a minute until the model is ready
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    parser = server.parser("health", "Whether the server takes requests.", _EXAMPLES)
    parser.add_argument("model", nargs="?", default="", help="ask for this model too")
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="wait so long")
    options = parser.parse_args(argv)
    return server.guarded(lambda: _check(options))


def _check(options: argparse.Namespace) -> int:
    with server.client(options) as client:
        if options.wait:
            client.wait_ready(options.model, timeout_s=options.wait)
        if not client.is_ready():
            print(f"no server takes requests at {client.url}; {START_HINT}", file=sys.stderr)
            return NO_SERVER
        info = client.server()
        if options.model and not client.is_ready(options.model):
            print(f"{client.url} is ready, but not its model {options.model}", file=sys.stderr)
            return SERVER_FAILED
        what = f"{options.model} at {client.url}" if options.model else client.url
        print(f"{what} is ready ({info.name} {info.version})")
    return DONE
