"""What every subcommand that talks to a server shares: its options, its errors, its exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from emoserve_client._client import EmotionClient
from emoserve_client._endpoint import default_url
from emoserve_client._tls import Tls
from emoserve_client.cli import BAD_INPUT, NO_SERVER, SERVER_FAILED, USAGE
from emoserve_client.errors import EmoserveError, InputError, UnreachableError


def parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A parser with the options that lead to a server."""
    made = argparse.ArgumentParser(
        prog=f"emoserve {name}",
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = made.add_argument_group("server")
    add = group.add_argument
    add("--url", default=default_url(), help="grpc://, grpcs://, http:// or https:// "
        "(default: $EMOSERVE_URL or %(default)s)")  # fmt: skip
    add("--timeout", type=float, metavar="SECONDS", help="for each call (default: 60; a clip: 900)")
    add("--ca", metavar="FILE", help="who signs the server's certificate (PEM)")
    add("--certificate", metavar="FILE", help="your certificate, for mutual TLS (PEM)")
    add("--key", metavar="FILE", help="its key (PEM)")
    add("--token-file", type=argparse.FileType("r"), metavar="FILE",
        help="a bearer token, read from here; `-` is standard input")  # fmt: skip
    return made


def client(options: argparse.Namespace) -> EmotionClient:
    """The client for the parsed options.

    Raises:
        InputError: an address or a certificate is not understood.
    """
    times = {"timeout_s": options.timeout, "video_timeout_s": options.timeout}
    return EmotionClient(
        options.url,
        tls=Tls(ca=options.ca, certificate=options.certificate, key=options.key),
        auth=options.token_file.read().strip() if options.token_file else None,
        **({} if options.timeout is None else times),
    )


def guarded(run: Callable[[], int]) -> int:
    """What `run` returns, or the exit code of its error, told on standard error."""
    try:
        return run()
    except EmoserveError as err:
        print(f"emoserve: {told(err)}", file=sys.stderr)
        return exit_code(err)


def told(error: EmoserveError) -> str:
    """The error for a person at a terminal: only one who must ask the server's owner needs ids."""
    if isinstance(error, InputError | UnreachableError):
        return "\n  ".join(filter(None, (error.message, error.hint)))
    return str(error)


def exit_code(error: EmoserveError) -> int:
    """The exit code for an error."""
    if isinstance(error, InputError):
        return USAGE if error.reason in ("bad_address", "bad_option") else BAD_INPUT
    return NO_SERVER if isinstance(error, UnreachableError) else SERVER_FAILED
