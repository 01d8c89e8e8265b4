"""An analysis as CSV: one row per utterance, face, window or text, one column per class."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import IO, Any

from emoserve_client._frames import rows
from emoserve_client._reports.records import Record


def write(records: Sequence[Record], sink: IO[str]) -> None:
    """Writes all records as one table; columns that a pipeline does not have stay empty."""
    table: list[dict[str, Any]] = []
    for record in records:
        head = {"file": record.file, "pipeline": record.pipeline}
        if record.analysis is None:
            table.append({**head, "error": record.error.message if record.error else ""})
        else:
            table += [{**head, **row} for row in rows(record.analysis)] or [head]  # no face
    columns = list(dict.fromkeys(name for row in table for name in row))
    writer = csv.DictWriter(sink, columns or ["file"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in table)


def _cell(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
