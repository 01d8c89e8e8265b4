"""A run from export to report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from emoserve_gpu.generator import Generator
from emoserve_gpu.measurement import Measurement, Record, WrongAnswerError
from emoserve_gpu.plan import PLANS
from emoserve_gpu.plots import draw
from emoserve_gpu.serving import ExportFailedError, exported, machine, needed, with_torch
from emoserve_gpu.tables import markdown
from emoserve_gpu.works import Work, works
from emoserve_server import EmbeddedTriton, ServerError

_SHOWN_PARTS = 3  # of the report's parts, on the terminal


@dataclass(frozen=True)
class Choices:
    """What the command line chose; None leaves it to what the machine has."""

    out: Path
    work: Path
    plan: str | None = None
    only: tuple[str, ...] = ()
    backend: str | None = None
    repository: Path | None = None
    compiled: bool = False


def measure(choices: Choices) -> int:
    """Run everything and return the exit code; the report lies in `choices.out`."""
    console, wanted, here = Console(), works(choices.only), machine()
    record = Record(
        asdict(here),
        choices.backend or here.backend,
        PLANS[choices.plan or ("full" if here.cuda_in_torch else "short")],
    )
    choices.out.mkdir(parents=True, exist_ok=True)
    console.print(f"{here}; networks by {record.backend}", markup=False)
    try:
        repository = _repository(choices, record.backend)
        _serve(choices, record, wanted, repository, here.device, console)
    except (ExportFailedError, ServerError, WrongAnswerError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    return 0


def _repository(choices: Choices, backend: str) -> Path:
    repository = exported(choices.repository, choices.work)
    if backend == "torch":
        return with_torch(repository, choices.work / "torch_repository")
    return repository


def _serve(
    choices: Choices,
    record: Record,
    wanted: tuple[Work, ...],
    repository: Path,
    device: str,
    console: Console,
) -> None:
    began_s = time.monotonic()
    models = needed([work.model for work in wanted])
    with (
        EmbeddedTriton(repository, http_port=0, grpc_port=0, metrics_port=0, models=models,
                       log_file=choices.out / "triton.log") as triton,
        Generator(record.plan.processes) as generator,
        console.status("") as status,
    ):  # fmt: skip
        record.startup_s = time.monotonic() - began_s
        measurement = Measurement(record, triton, generator, device)
        for work in wanted:
            _measure(measurement, work, choices.compiled, status.update)
            _report(record, choices.out)
            console.print(f"{work.model}: done", markup=False)
        measurement.close()
    lines = (choices.out / "report.md").read_text(encoding="utf-8")
    console.print(Markdown("## ".join(lines.split("## ")[:_SHOWN_PARTS])))
    console.print(f"all of it: {choices.out}/report.md and .json, and the pictures", markup=False)


def _measure(
    measurement: Measurement, work: Work, compiled: bool, progress: Callable[[str], None]
) -> None:
    if work.is_network:
        measurement.network(work, progress, compiled=compiled)
    else:
        measurement.pipeline(work, progress)


def _report(record: Record, out: Path) -> None:
    """Write all again: a run that is cut short leaves what it has."""
    record.save(out / "report.json")
    (out / "report.md").write_text(markdown(record), encoding="utf-8")
    draw(record, out)
