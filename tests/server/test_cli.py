"""`emoserve serve` as a user meets it: what it prints, and the exit status that it leaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "emoserve_server.cli"]
ANY_PORTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]

SLOW_TO_LOAD = """
    import time


    class TritonPythonModel:
        def initialize(self, args):
            time.sleep(60)
"""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, and hold it to end without a traceback."""
    ran = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert 'File "' not in ran.stderr
    return ran


@contextmanager
def serving(*arguments: str | Path):
    """Yield the running command and the lines it printed up to `Stop with Ctrl-C.`"""
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            lines = []
            for line in process.stdout:
                lines.append(line.rstrip())
                if line.startswith("Stop with"):
                    break
            yield process, lines
        finally:
            process.kill()


def address(lines: list[str], name: str) -> str:
    return next(line.split()[1] for line in lines if line.split()[0] == name)


def server_options(url: str) -> dict[str, str]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_prints_the_addresses_and_stops_cleanly(new_repository, number):
    path = new_repository().add_python("plus_one").path
    with serving("--repository", path, *ANY_PORTS) as (process, lines):
        assert "1 models" in lines[0]
        http = address(lines, "HTTP")
        assert server_options(f"{http}/v2")["version"] == "2.51.0"
        assert address(lines, "gRPC").startswith("grpc://127.0.0.1:")
        with urllib.request.urlopen(address(lines, "metrics"), timeout=5) as answer:
            assert b"nv_inference_request_success" in answer.read()
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
        errors = process.stderr.read()
    assert "Traceback" not in errors
    assert "Stopping" in errors
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{http}/v2", timeout=2)


def test_sigterm_while_models_load_stops_as_asked(new_repository, tmp_path):
    path = new_repository().add_python("sluggish", SLOW_TO_LOAD).path
    log = tmp_path / "triton.log"
    command = [*COMMAND, "--repository", path, *ANY_PORTS, "--log-file", log, "--exit-timeout", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 30
        while not (log.exists() and "sluggish" in log.read_text()):
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_server_that_dies_is_an_error(new_repository):
    path = new_repository().add_python("plus_one").path
    with serving("--repository", path, *ANY_PORTS) as (process, _):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        supervisor = children[0]
        grand = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        os.kill(int(grand[0]), signal.SIGKILL)
        assert process.wait(timeout=30) == 5
        assert "Triton ended by itself (killed by signal 9)" in process.stderr.read()


def test_what_follows_two_dashes_goes_to_triton_and_its_log_is_shown(new_repository):
    path = new_repository().add_python("plus_one").path
    arguments = ("--repository", path, *ANY_PORTS, "--log", "--", "--id=the-passed-name")
    with serving(*arguments) as (process, lines):
        assert server_options(f"{address(lines, 'HTTP')}/v2")["name"] == "the-passed-name"
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        assert "successfully loaded 'plus_one'" in process.stderr.read()


def test_usage(tmp_path):
    assert run("--no-such-option").returncode == 2
    port = run("--http-port", "70000")
    assert port.returncode == 2
    assert "70000 is not a port" in port.stderr
    absent = run("--repository", tmp_path / "nowhere")
    assert absent.returncode == 2
    assert "emoserve export" in absent.stderr
    public = run("--repository", tmp_path, "--host", "0.0.0.0")
    assert public.returncode == 2
    assert "loopback only" in public.stderr
    help_text = run("--help")
    assert help_text.returncode == 0
    assert "emoserve serve --repository my_models --log" in help_text.stdout


def test_a_taken_port_and_a_broken_model_exit_with_5(new_repository):
    repository = new_repository().add_python("broken", "raise ValueError('no weights here')\n")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        taken = run("--repository", repository.path, *ANY_PORTS[2:], "--http-port", port)
    assert taken.returncode == 5
    assert f"port {port} is taken by" in taken.stderr
    broken = subprocess.run(
        [*COMMAND, "--repository", repository.path, *ANY_PORTS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert broken.returncode == 5
    assert "no weights here" in broken.stderr
    assert "The whole log: " in broken.stderr


def test_an_unknown_option_for_triton_is_named(new_repository):
    path = new_repository().add_python("plus_one").path
    ran = run("--repository", path, *ANY_PORTS, "--", "--no-such-option=1")
    assert ran.returncode == 2
    assert "tritonserver 2.51 has no option --no-such-option" in ran.stderr
    ran = run("--repository", path, *ANY_PORTS, "--", "--grpc-keepalive-time=soon")
    assert ran.returncode == 5
    assert "soon" in ran.stderr


def test_a_changed_file_is_refused_unless_told_otherwise(new_repository):
    path = new_repository().add_python("plus_one").path
    digests = {"plus_one/1/model.py": "0" * 64}
    (path / "manifest.json").write_text(json.dumps({"format": 1, "files": digests}))
    refused = run("--repository", path, *ANY_PORTS)
    assert refused.returncode == 2
    assert "plus_one/1/model.py was changed" in refused.stderr
    with serving("--repository", path, "--no-verify", *ANY_PORTS) as (process, lines):
        assert "1 models" in lines[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
