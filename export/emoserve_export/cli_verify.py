"""`emoserve verify`: golden requests stored at export, replayed against a running server.

Exit codes: 0 every answer is as it was, 1 one is not, 2 usage, 4 no server.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from emoserve_export.errors import ExportError
from emoserve_export.parity import Comparison
from emoserve_export.tables import parity_table, wide_console

URL_VARIABLE = "EMOSERVE_URL"
DEFAULT_URL = "grpc://127.0.0.1:8001"


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code of `emoserve verify`."""
    options = _parser().parse_args(argv)
    out, err = wide_console(), wide_console(stderr=True)
    try:
        rows = _replayed(options, out)
    except ExportError as error:
        err.print(f"error: {error}", style="red", markup=False)
        return 1
    except _NoServerError as error:
        err.print(f"error: {error}", style="red", markup=False)
        return 4
    if options.json:
        text = json.dumps([asdict(row) for row in rows], indent=1)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    out.print(parity_table(rows, "Served against exported"))
    failed = {row.network for row in rows if not row.passed}
    models = {row.network for row in rows}
    out.print(
        f"{len(models)} models, {len(failed)} differ" + (f": {sorted(failed)}" if failed else "")
    )
    return 1 if failed else 0


class _NoServerError(Exception):
    """No server answers at the address."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="emoserve verify", description=__doc__.splitlines()[0])
    parser.add_argument("--url", help=f"default: ${URL_VARIABLE}, else {DEFAULT_URL}")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--json", metavar="FILE", help="write the comparisons there too")
    return parser


def _replayed(options: argparse.Namespace, out: Console) -> list[Comparison]:
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    from emoserve_export.replay import replay

    address = _address(options.url or os.environ.get(URL_VARIABLE) or DEFAULT_URL)
    client = triton.InferenceServerClient(address)
    try:
        if not client.is_server_ready():
            raise _NoServerError(f"the server at {address} is not ready yet")
    except InferenceServerException as error:
        raise _NoServerError(
            f"no server answers at {address}: start one with `emoserve serve`"
        ) from error
    rows: list[Comparison] = []
    with client, out.status("replaying") as status:
        for found in replay(client, options.repository):
            rows += found
            status.update(f"{found[0].network}: replayed")
    return rows


def _address(url: str) -> str:
    """Return host:port; golden requests go over gRPC, which `video` needs for its stream.

    Raises:
        ExportError: an address of another protocol.
    """
    scheme, separator, rest = url.rpartition("://")
    if separator and scheme != "grpc":
        raise ExportError(f"--url {url}: verify speaks gRPC, such as grpc://localhost:8001")
    return rest.rstrip("/")


if __name__ == "__main__":
    sys.exit(main())
