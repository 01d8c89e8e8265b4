"""Measure the pipelines and networks on a GPU against plain torch, or on a CPU where there is none.

    python loadtests/gpu.py prepare                  where an index is: wheels into pieces
    python loadtests/gpu.py install --from FOLDER    on the GPU machine: pieces to an environment
    python loadtests/gpu.py run                      measure; a report, tables and plots into --out
    python loadtests/gpu.py run --plan tiny --only fusion_net
    python loadtests/gpu.py run --backend torch      networks in torch, by Triton's Python backend
    python loadtests/gpu.py shapes                   what a new batch size costs a network

`run` and `shapes` use the environment that `install` made, else this one. loadtests/gpu.md has the
whole way.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from emoserve_gpu import environment
from emoserve_gpu.pieces import PIECE_BYTES, PieceError, cut, join

PIECES = Path("out/gpu/pieces")
WORK = Path(tempfile.gettempdir()) / "emoserve-gpu"
_SCRIPT = Path(__file__).resolve().parents[1] / "gpu.py"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpu.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="download and cut what must be brought along")
    prepare.add_argument("--out", type=Path, default=PIECES, help=f"default: {PIECES}")
    prepare.add_argument("--piece-mb", type=float, default=PIECE_BYTES / 1e6)
    install = commands.add_parser("install", help="join, verify and install on the GPU machine")
    install.add_argument("--from", dest="pieces", type=Path, required=True, metavar="FOLDER")
    run = commands.add_parser("run", help="export, serve, load and measure")
    run.add_argument("--out", type=Path, default=Path("out/gpu/report"))
    run.add_argument("--plan", choices=("full", "short", "tiny"), help="default: full with a GPU")
    run.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="NAMES")
    run.add_argument("--backend", choices=("onnxruntime", "torch"), help="default: what has CUDA")
    run.add_argument("--repository", type=Path, help="default: exported with the profile gpu")
    run.add_argument("--compile", action="store_true", help="torch.compile for plain torch")
    shapes = commands.add_parser("shapes", help="time batches of one size and of sizes in turn")
    shapes.add_argument("--out", type=Path, default=Path("out/gpu/shapes.json"))
    shapes.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="NETWORKS")
    shapes.add_argument("--repository", type=Path, help="default: exported with the profile gpu")
    for command in (install, run, shapes):
        command.add_argument("--work", type=Path, default=WORK, help=f"default: {WORK}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 1 something failed, 2 usage."""
    given = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(given)
    commands = {"prepare": _prepare, "install": _install, "run": _inside, "shapes": _inside}
    try:
        return commands[options.command](options, given)
    except (PieceError, environment.EnvironmentFailedError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _prepare(options: argparse.Namespace, given: list[str]) -> int:
    from rich.console import Console

    from emoserve_export.wheels import WheelError
    from emoserve_gpu.luggage import LuggageError, bring

    console = Console()
    try:
        with console.status("downloading what is not there yet, and cutting it"):
            files = bring(options.out.parent / "wheels")
            pieces = cut(files, options.out, round(options.piece_mb * 1e6))
    except (LuggageError, WheelError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    total_mb = sum(piece.size_bytes for piece in pieces) / 1e6
    console.print(f"{len(files)} wheels, {total_mb:.0f} MB, {len(pieces)} pieces in {options.out}")
    return 0


def _install(options: argparse.Namespace, given: list[str]) -> int:
    work = options.work
    print("joining and checking the pieces", flush=True)
    files = join(options.pieces, environment.joined(work))
    print(f"{len(files)} wheels; installing", flush=True)
    environment.install(work)
    code = (
        "import torch, onnxruntime, emoserve_server as s; from emoserve_gpu.serving import machine"
    )
    return subprocess.run(
        [environment.python(work), "-c", f"{code}; print(machine())"],
        env=environment.variables(work),
        check=False,
    ).returncode


def _inside(options: argparse.Namespace, given: list[str]) -> int:
    """Run a command in the environment that `install` made, where there is one."""
    inside = Path(sys.prefix).resolve() == (options.work / "venv").resolve()
    if environment.is_ready(options.work) and not inside:
        command = [environment.python(options.work), str(_SCRIPT), *given]
        return subprocess.run(
            command, env=environment.variables(options.work), check=False
        ).returncode
    return _shapes(options) if options.command == "shapes" else _run(options)


def _shapes(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from emoserve_gpu.serving import ExportFailedError, exported, machine
    from emoserve_gpu.shapes import MOST_IN_TURN, costs, save
    from emoserve_gpu.works import NETWORKS, require_known

    require_known(options.only, NETWORKS)
    console, here = Console(), machine()
    try:
        repository = exported(options.repository, options.work)
    except ExportFailedError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    table = Table(title=f"A batch of {MOST_IN_TURN} again, and batches of 1 to {MOST_IN_TURN}, ms")
    for name in ("network", "way", "same", "changing", "slowest"):
        table.add_column(name, justify="left" if name in ("network", "way") else "right")
    found = []
    with console.status("measuring") as status:
        for one in costs(options.only, repository, cuda=here.cuda_in_onnxruntime):
            status.update(f"{one.network}: {one.way}")
            found.append(one)
            save(found, options.out)
            times = (one.same_ms, one.changing_ms, one.slowest_ms)
            table.add_row(one.network, one.way, *(f"{time:.2f}" for time in times))
    console.print(f"{here}", markup=False)
    console.print(table)
    console.print(f"as JSON: {options.out}", markup=False)
    return 0


def _run(options: argparse.Namespace) -> int:
    from emoserve_gpu.session import Choices, measure

    return measure(
        Choices(
            out=options.out,
            work=options.work,
            plan=options.plan,
            only=tuple(options.only),
            backend=options.backend,
            repository=options.repository,
            compiled=options.compile,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
