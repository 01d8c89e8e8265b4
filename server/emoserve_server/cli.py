"""`emoserve serve`: the command around `EmbeddedTriton`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

from emoserve_server import manifest
from emoserve_server._embedded import EmbeddedTriton
from emoserve_server._errors import RepositoryError, ServerError
from emoserve_server._log import telling_lines

DONE, USAGE, SERVER_FAILED = 0, 2, 5

_EXAMPLES = """\
examples:
  emoserve serve                                 model_repository/ on ports 8000, 8001, 8002
  emoserve serve --repository my_models --log    another repository; Triton's log on screen
  emoserve serve --http-port 0 --grpc-port 0 --metrics-port 0     free ports, which are printed
  emoserve serve -- --log-verbose=1              what follows -- goes to tritonserver

exit status: 0 stopped as asked, 2 usage or no such repository, 5 the server failed
"""


class _Terminated(BaseException):
    """SIGTERM or SIGHUP came. A BaseException, as KeyboardInterrupt is, so that nothing eats it."""


def parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    made = argparse.ArgumentParser(
        prog="emoserve serve",
        description="Serve a model repository on this machine with a real Triton.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--repository", type=Path, default=Path("model_repository"), metavar="FOLDER",
        help="the model repository (default: model_repository)")  # fmt: skip
    add("--host", default="127.0.0.1", help="a loopback address (default: 127.0.0.1)")
    add("--http-port", type=_port, default=8000, metavar="PORT", help="default 8000; 0: a free one")
    add("--grpc-port", type=_port, default=8001, metavar="PORT", help="default 8001; 0: a free one")
    add("--metrics-port", type=_port, default=8002, metavar="PORT",
        help="default 8002; 0: a free one")  # fmt: skip
    add("--log", action="store_true", help="show Triton's log")
    add("--log-file", type=Path, metavar="FILE", help="keep Triton's log here")
    add("--no-verify", action="store_true", help="serve although a file differs from the manifest")
    add("--startup-timeout", type=float, default=300.0, metavar="SECONDS",
        help="give up when not ready by then (default: 300)")  # fmt: skip
    add("--exit-timeout", type=float, default=10.0, metavar="SECONDS",
        help="how long requests in flight may take to finish at the end (default: 10)")  # fmt: skip
    return made


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: give 0 to 65535")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C, SIGTERM or the server's own end, and return the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    cut = given.index("--") if "--" in given else len(given)
    options = parser().parse_args(given[:cut])
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with _termination_raises():
            return _serve(options, given[cut + 1 :], errors)
    except (KeyboardInterrupt, _Terminated):
        return DONE
    except ValueError as error:
        errors.print(f"emoserve serve: {error}", markup=False)
        return USAGE
    except ServerError as error:
        errors.print(f"emoserve serve: {error}", markup=False)
        return USAGE if isinstance(error, RepositoryError) else SERVER_FAILED


def _serve(options: argparse.Namespace, extra: list[str], errors: Console) -> int:
    if not options.no_verify:
        manifest.verify(options.repository)
    with _progress(errors, quiet=options.log) as progress:
        task = progress.add_task("Loading models", total=None)
        triton = _triton(options, extra, progress, task)
        began = time.monotonic()
        triton.start()
    try:
        _announce(triton, time.monotonic() - began)
        code = triton.wait()
    except (KeyboardInterrupt, _Terminated):
        errors.print("Stopping: requests in flight finish first.")
        return DONE
    finally:
        triton.stop(keep_log=options.log_file is not None)
    return _ended(triton, code, errors)


def _triton(
    options: argparse.Namespace, extra: list[str], progress: Progress, task: TaskID
) -> EmbeddedTriton:
    return EmbeddedTriton(
        options.repository,
        host=options.host,
        http_port=options.http_port,
        grpc_port=options.grpc_port,
        metrics_port=options.metrics_port,
        log_file=options.log_file,
        relay_log=options.log,
        extra_args=extra,
        startup_timeout_s=options.startup_timeout,
        exit_timeout_s=options.exit_timeout,
        on_progress=lambda ready, total: progress.update(task, completed=ready, total=total),
    )


def _announce(triton: EmbeddedTriton, took_s: float) -> None:
    print(f"Ready after {took_s:.1f} s: {len(triton.models)} models")
    print(f"  gRPC     {triton.grpc_url}")
    print(f"  HTTP     {triton.http_url}")
    print(f"  metrics  {triton.metrics_url}")
    print(f"  log      {triton.log_file}")
    print("Stop with Ctrl-C.", flush=True)


def _ended(triton: EmbeddedTriton, code: int, errors: Console) -> int:
    log_file = triton.log_file
    lines = telling_lines(log_file) if log_file and log_file.exists() else ()
    if code == 0:  # somebody sent the SIGTERM to Triton itself
        return DONE
    how = f"killed by signal {code - 128}" if code > 128 else f"exit status {code}"
    message = [f"emoserve serve: Triton ended by itself ({how})", *(f"  {line}" for line in lines)]
    errors.print("\n".join([*message, f"The whole log: {log_file}"]), markup=False)
    return SERVER_FAILED


def _progress(console: Console, *, quiet: bool) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True, disable=quiet)


@contextmanager
def _termination_raises() -> Iterator[None]:
    def handler(number: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated(number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


if __name__ == "__main__":
    sys.exit(main())
