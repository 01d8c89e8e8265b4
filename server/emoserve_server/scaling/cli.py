"""`emoserve k8s`: what the manifests cannot know by themselves."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from emoserve_server._errors import ServerError
from emoserve_server.scaling._capacity import read_capacity
from emoserve_server.scaling._configs import read_configs
from emoserve_server.scaling._manifests import files
from emoserve_server.scaling._memory import MIB, shared_memory_bytes
from emoserve_server.scaling._target import Policy, plan

DONE, USAGE, DIFFERENT = 0, 2, 1

_EXAMPLES = """\
examples:
  emoserve k8s target                        write the autoscaler's manifests into k8s/
  emoserve k8s target --growth-per-minute 1 --max-replicas 200
  emoserve k8s target --check                compare them with what is there, write nothing
  emoserve k8s plan --pipeline video --rates 5 500      what it takes, by simulation
  emoserve k8s shm --largest-media-mib 256   how large /dev/shm must be

exit status: 0 done, 1 the files differ (--check), 2 usage or unusable figures
"""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    made = argparse.ArgumentParser(
        prog="emoserve k8s",
        description="Compute what a Kubernetes deployment needs from the configs and measurements.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    target = commands.add_parser("target", help="the autoscaler's targets, with reasons")
    shm = commands.add_parser("shm", help="the size of /dev/shm")
    forecast = commands.add_parser("plan", help="replicas, delay and cost of a load, by simulation")
    for command in (target, shm, forecast):
        command.add_argument(
            "--repository", type=Path, default=Path("model_repository"), metavar="FOLDER"
        )
    for command in (target, forecast):
        command.add_argument(
            "--capacity", type=Path, default=Path("k8s/capacity/cpu.json"), metavar="FILE",
            help="what the load test measured on one pod",
        )  # fmt: skip
    _add_plan_arguments(forecast)
    add = target.add_argument
    add("--manifests", type=Path, default=Path("k8s"), metavar="FOLDER")
    add("--growth-per-minute", type=float, default=Policy.growth_per_minute, metavar="SHARE",
        help="by which share traffic may grow in a minute (default: 0.25)")  # fmt: skip
    add("--min-replicas", type=int, default=Policy.min_replicas)
    add("--max-replicas", type=int, default=Policy.max_replicas)
    add("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    shm.add_argument("--largest-media-mib", type=int, default=64, metavar="MIB",
                     help="the largest request that is accepted (default: 64)")  # fmt: skip
    return made


def _add_plan_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--pipeline", default="emotion", help="which of the capacity file (default: emotion)")
    add("--rates", type=float, nargs="+", default=[10, 1000, 100_000], metavar="PER_S",
        help="mean rates of requests (default: 10 1000 100000)")  # fmt: skip
    add("--startup", type=float, metavar="SECONDS",
        help="until a pod is ready, a new node included (default: as measured)")  # fmt: skip
    add("--price", type=float, default=0.09, metavar="PER_HOUR",
        help="of a pod (default: 0.09, about what two cores cost)")  # fmt: skip
    add("--output", type=Path, default=Path("out/scaling"), metavar="FOLDER",
        help="where the pictures and the JSON go (default: out/scaling)")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand and return the exit status."""
    options = parser().parse_args(argv)
    try:
        return _COMMANDS[options.command](options)
    except (ServerError, ValueError, OSError) as error:
        print(f"emoserve k8s: {error}", file=sys.stderr)
        return USAGE


def _target(options: argparse.Namespace) -> int:
    policy = Policy(options.growth_per_minute, options.min_replicas, options.max_replicas)
    made = plan(read_configs(options.repository), read_capacity(options.capacity), policy)
    print("\n".join(made.reasons))
    different = []
    for name, content in files(made).items():
        path = options.manifests / name
        if not path.is_file() or path.read_text() != content:
            different.append(name)
            if not options.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
    verb = "differs" if options.check else "written"
    print("\n".join(f"{verb}: {options.manifests / name}" for name in different) or "up to date")
    return DIFFERENT if options.check and different else DONE


def _shm(options: argparse.Namespace) -> int:
    size = shared_memory_bytes(read_configs(options.repository), options.largest_media_mib * MIB)
    print(f"{size // MIB}Mi")
    return DONE


def _plan(options: argparse.Namespace) -> int:
    try:
        from emoserve_server.scaling.simulation import cli as simulation
    except ModuleNotFoundError as error:
        raise ValueError(
            f"plan needs {error.name}, which is not installed here: pip install 'emoserve[scaling]'"
        ) from error
    simulation.run(options)
    return DONE


_COMMANDS = {"target": _target, "shm": _shm, "plan": _plan}


if __name__ == "__main__":
    sys.exit(main())
