"""Comparisons as a table for people."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from emoserve_export.parity import Comparison


def wide_console(**options: Any) -> Console:
    """Return a console on which tables keep their columns where the output is no terminal."""
    console = Console(**options)
    return console if console.is_terminal else Console(width=max(console.width, 150), **options)


def parity_table(
    rows: Sequence[Comparison], title: str = "Exported against the trained network"
) -> Table:
    """Return one row for each comparison; failed ones are red and say why."""
    table = Table(title=title)
    table.add_column("network", no_wrap=True)
    table.add_column("output", no_wrap=True)
    table.add_column("stage", no_wrap=True)
    for heading in ("items", "max abs", "max rel", "cosine", "argmax", "points"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for row in rows:
        table.add_row(
            row.network,
            row.output,
            row.stage,
            str(row.items),
            f"{row.max_absolute:.0e}",
            f"{row.max_relative:.0e}",
            f"{row.cosine:.4f}",
            f"{row.agreement:.3f}",
            "-" if row.lost_points is None else f"{0.0 - row.lost_points:+.2f}",
            "ok" if row.passed else row.problem,
            style=None if row.passed else "red",
        )
    return table
