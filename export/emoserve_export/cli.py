"""`emoserve export`: trained networks into a Triton model repository.

Exit codes: 0 done, 1 refused (a checkpoint, a graph, parity, the contract), 2 usage.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from emoserve_export.catalogue import CATALOGUE, EXTRA
from emoserve_export.declaration import PRECISIONS, Network
from emoserve_export.errors import ExportError, ParityError
from emoserve_export.listing import catalogue_table
from emoserve_export.parity import Comparison
from emoserve_export.tables import parity_table, wide_console
from emoserve_export.user_file import load_declaration

if TYPE_CHECKING:
    from emoserve_export.tune import Trial


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code of `emoserve export`."""
    options = _parser().parse_args(argv)
    out, err = wide_console(), wide_console(stderr=True)
    try:
        return _run(options, out)
    except ParityError as error:
        out.print(parity_table([row for row in error.rows if isinstance(row, Comparison)]))
        err.print(f"error: {error}; nothing was published", style="red", markup=False)
    except ExportError as error:
        err.print(f"error: {error}", style="red", markup=False)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="emoserve export", description=__doc__.splitlines()[0])
    parser.add_argument(
        "networks", nargs="*", metavar="NETWORK", help="default: all of the catalogue"
    )
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--profile", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument(
        "--max-queue-size",
        type=_whole,
        default=0,
        metavar="N",
        help="refuse at once what more than N requests wait before, and drop what its caller no "
        "longer waits for; costs throughput (docs/decisions.md 18). Default: no bound",
    )
    parser.add_argument(
        "--queue-delay-us",
        type=_whole,
        default=0,
        metavar="US",
        help="let `text` wait so long for company in its batch, in the profile cpu: more a second "
        "from 8 callers on, less with 2 to 4 (docs/decisions.md 25). Default: no delay",
    )
    parser.add_argument(
        "--target",
        choices=("onnx", "tensorrt"),
        default="onnx",
        help="tensorrt: engines for this GPU beside the graphs that are published already",
    )
    parser.add_argument("--force", action="store_true", help="export again what is up to date")
    parser.add_argument(
        "--keep", type=int, default=3, help="versions of a network that stay on disk"
    )
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="FILE.py:NAME",
        help="also export a network that you declare (docs/bring-your-own-network.md)",
    )
    add_precision(parser)
    parser.add_argument("--list", action="store_true", help="show the networks and stop")
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare every config with its graph and with the contract, and stop",
    )
    parser.add_argument(
        "--contract", type=Path, help="default: docs/contracts.md beside the repository"
    )
    parser.add_argument("--rollback", metavar="NETWORK", help="go back to the version before")
    return parser


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number: give 0 or more")
    return int(text)


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a precision."""
    parser.add_argument("--precision", choices=PRECISIONS, help="default: as published or declared")
    parser.add_argument(
        "--tune",
        action="store_true",
        help="measure every precision and publish the fastest inside the accuracy budget",
    )
    parser.add_argument(
        "--samples", type=Path, metavar="DIR", help="real data: DIR/<network>.npz (see samples.py)"
    )
    parser.add_argument(
        "--agreement",
        type=float,
        help="budget of --tune: share of items that must keep their class",
    )
    parser.add_argument(
        "--points", type=float, help="budget of --tune: points of the metric to lose"
    )
    parser.add_argument("--plots", type=Path, default=Path("out/tune"), help="where --tune draws")


def _run(options: argparse.Namespace, out: Console) -> int:
    if options.check:
        return _check(options, out)
    if options.rollback:
        from emoserve_export.versions import roll_back

        version = roll_back(options.rollback, options.repository)
        out.print(f"{options.rollback} is at version {version} again")
        return 0
    own = [load_declaration(reference) for reference in options.network]
    if options.list:
        out.print(catalogue_table([*CATALOGUE, *EXTRA, *own], options.repository))
        return 0
    return _export(options, own, out)


def _export(options: argparse.Namespace, own: list[Network], out: Console) -> int:
    some = bool(options.networks or own)
    chosen = [*_chosen(options.networks), *own] if some else list(CATALOGUE)
    if options.target == "tensorrt":
        return _engines(chosen, options.repository, out)
    from emoserve_export.exporting import Choices, export

    chosen = [_with_budget(network, options.points, options.agreement) for network in chosen]
    choices = Choices(
        options.profile,
        options.force,
        options.keep,
        not some,
        options.precision,
        options.tune,
        options.samples,
        options.max_queue_size,
        options.queue_delay_us,
    )
    with out.status("") as status:
        report = export(
            chosen,
            options.repository,
            choices,
            lambda name, state: status.update(f"{name}: {state}"),
        )
    for name, trials in report.trials.items():
        _show_trials(name, trials, options.plots, out)
    if report.rows:
        out.print(parity_table(report.rows))
    exported = len(report.versions) - len(report.skipped)
    changed = ", ".join(report.changed) or "nothing"
    out.print(f"{exported} exported, {len(report.skipped)} up to date; changed: {changed}")
    return 0


def _engines(networks: list[Network], repository: Path, out: Console) -> int:
    from emoserve_export.engines.publishing import Machine, publish_engines

    machine = Machine.here()
    with out.status("") as status:
        rows = publish_engines(
            networks, repository, machine, lambda name, state: status.update(f"{name}: {state}")
        )
    out.print(parity_table(rows, f"TensorRT {machine.cache.version} against the trained network"))
    return 0


def _with_budget(network: Network, points: float | None, agreement: float | None) -> Network:
    budget = network.budget
    if points is not None:
        budget = dataclasses.replace(budget, metric_points=points)
    if agreement is not None:
        budget = dataclasses.replace(budget, agreement=agreement)
    return dataclasses.replace(network, budget=budget)


def _show_trials(name: str, trials: list["Trial"], plots: Path, out: Console) -> None:
    from emoserve_export.tune_report import plot_trials, trials_table

    out.print(trials_table(name, trials))
    try:
        plot_trials(name, trials, plots / f"{name}.png")
        out.print(f"picture: {plots / name}.png")
    except ImportError:
        out.print("no picture: pip install 'emoserve[plot]'", markup=False)


def _check(options: argparse.Namespace, out: Console) -> int:
    from emoserve_export.configs.lint import check_repository

    beside = options.repository.resolve().parent / "docs" / "contracts.md"
    contract = options.contract or (beside if beside.is_file() else None)
    problems, count = check_repository(options.repository, contract)
    for problem in problems:
        out.print(problem, style="red", markup=False)
    against = (
        f"their graphs and {contract.name}" if contract else "their graphs (no contract found)"
    )
    out.print(f"{count} models against {against}: {len(problems)} problems")
    return 1 if problems else 0


def _chosen(names: Sequence[str]) -> list[Network]:
    known = {network.name: network for network in (*CATALOGUE, *EXTRA)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ExportError(f"unknown networks {unknown}; known are {sorted(known)}")
    return [known[name] for name in names]


if __name__ == "__main__":
    sys.exit(main())
