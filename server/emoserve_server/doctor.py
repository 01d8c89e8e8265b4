"""`emoserve doctor`: whether this machine can serve, what is missing, and what to do about it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from emoserve_server import _checks
from emoserve_server._checks import FAIL, OK, WARN, Check

CAN_SERVE, CANNOT_SERVE = 0, 5

_COLOURS = {OK: "green", WARN: "yellow", FAIL: "bold red"}
_EXAMPLES = """\
examples:
  emoserve doctor
  emoserve doctor --repository my_models --http-port 9000

exit status: 0 this machine can serve, 2 usage, 5 something in the table failed
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    made = argparse.ArgumentParser(
        prog="emoserve doctor",
        description="Check this machine for all that `emoserve serve` needs.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--repository", type=Path, default=Path("model_repository"), metavar="FOLDER")
    for name, port in (("http", 8000), ("grpc", 8001), ("metrics", 8002)):
        made.add_argument(f"--{name}-port", type=int, default=port, metavar="PORT")
    return made


def examine(repository: Path, ports: Sequence[int]) -> list[Check]:
    """Return every check's outcome, in the order in which a reader should mend them."""
    checks: list[Callable[[], Check | Iterable[Check]]] = [
        _checks.python,
        _checks.glibc,
        _checks.wheel,
        _checks.stub,
        _checks.triton,
        _checks.numpy,
        _checks.packages,
        lambda: _checks.repository(repository),
        lambda: _checks.manifest(repository),
        lambda: [_checks.port(number) for number in ports],
        _checks.shared_memory,
        _checks.disk,
        _checks.memory,
        _checks.gpu,
        _checks.tensorrt,
    ]
    found: list[Check] = []
    for check in checks:
        result = check()
        found.extend([result] if isinstance(result, Check) else result)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table and return the exit status."""
    options = parser().parse_args(argv)
    ports = (options.http_port, options.grpc_port, options.metrics_port)
    found = examine(options.repository, ports)
    console = Console(highlight=False)
    console.print(_table(found))
    failed = [check for check in found if check.status == FAIL]
    if failed:
        console.print(f"[bold red]Cannot serve:[/] {', '.join(check.name for check in failed)}.")
        return CANNOT_SERVE
    console.print("[green]This machine can serve:[/] emoserve serve")
    return CAN_SERVE


def _table(checks: Iterable[Check]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for check in checks:
        colour = _COLOURS[check.status]
        table.add_row(check.name, f"[{colour}]{check.status}[/]", escape(check.found))
        if check.remedy:
            table.add_row("", "", f"[{colour}]->[/] {escape(check.remedy)}")
    return table


if __name__ == "__main__":
    sys.exit(main())
