"""`emoserve`: finds the subcommand, loads only that, and turns errors into exit codes."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from emoserve_client._version import __version__

DONE, USAGE, BAD_INPUT, NO_SERVER, SERVER_FAILED, INTERRUPTED = 0, 2, 3, 4, 5, 130


@dataclass(frozen=True)
class Command:
    """Where a subcommand lives, which extra brings it, and what it is for."""

    module: str
    extra: str | None
    summary: str


COMMANDS = {
    "analyze": Command(
        "emoserve_client._commands.analyze", None, "clips, sound, pictures, texts to emotions"
    ),
    "live": Command("emoserve_client._commands.live", None, "webcam and microphone, as they come"),
    "models": Command("emoserve_client._commands.models", None, "what the server serves"),
    "health": Command(
        "emoserve_client._commands.health", None, "whether the server takes requests"
    ),
    "stats": Command(
        "emoserve_client._commands.stats", None, "what the server has done, and how fast"
    ),
    "serve": Command("emoserve_server.cli", "server", "start a real Triton on this machine"),
    "doctor": Command("emoserve_server.doctor", "server", "whether this machine can serve"),
    "bench": Command("emoserve_loadtests.cli", "loadtests", "load tests, and what a replica holds"),
    "k8s": Command("emoserve_server.scaling.cli", None, "autoscaling targets, from measurements"),
    "export": Command("emoserve_export.cli", "export", "checkpoints to a model repository"),
    "verify": Command(
        "emoserve_export.cli_verify", "export", "served results against the trained networks"
    ),
}

_EXAMPLES = """\
examples:
  emoserve serve                                start a server on this machine
  emoserve analyze clip.mp4                     a table, as soon as it is known
  emoserve analyze clip.mp4 --plot clip.png --json clip.json
  emoserve analyze recordings/ --jsonl out.jsonl --resume
  emoserve analyze talk.mp4 --url grpc://gpu-box:8001 --vtt talk.vtt

`emoserve COMMAND --help` says more. The server's address: --url, or the environment
variable EMOSERVE_URL, else grpc://127.0.0.1:8001.

exit codes: 0 done, 2 usage, 3 the input is unusable, 4 no server, 5 the server failed,
130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return DONE if arguments else USAGE
    if arguments[0] in ("-V", "--version", "version"):
        print(f"emoserve {__version__}")
        return DONE
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"emoserve: no command {name!r}; there are: {known}", file=sys.stderr)
        return USAGE
    return _run(name, rest)


def _run(name: str, arguments: Sequence[str]) -> int:
    command = COMMANDS[name]
    try:
        module = importlib.import_module(command.module)
    except ModuleNotFoundError as err:
        return _missing(name, command, err)
    try:
        return int(module.main(arguments))
    except SystemExit as err:  # argparse
        return err.code if isinstance(err.code, int) else USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # `emoserve ... | head`: the reader has had enough. Nothing more may be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _missing(name: str, command: Command, err: ModuleNotFoundError) -> int:
    """Says which extra brings what is missing; an error of ours is not hidden behind that."""
    ours = (err.name or "").startswith("emoserve_")
    if command.extra is None or (ours and importlib.util.find_spec(command.module.split(".")[0])):
        raise err
    print(
        f"emoserve {name} needs {err.name}, which is not installed here:\n"
        f"  pip install 'emoserve[{command.extra}]'",
        file=sys.stderr,
    )
    return USAGE


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {one.summary}" for name, one in COMMANDS.items()]
    return "\n".join(
        [
            "usage: emoserve COMMAND ...",
            "",
            "Emotions from video, voice, faces and words, on NVIDIA Triton.",
            "",
            "commands:",
            *lines,
            "",
            _EXAMPLES.rstrip(),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
