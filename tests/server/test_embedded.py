"""The embedded server's life: start, answers, stop, and every way it can be ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

from emoserve_server import EmbeddedTriton, PortTakenError, RepositoryError, StartError

ANY_PORTS = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}

SLOW_TO_LOAD = """
    import time


    class TritonPythonModel:
        def initialize(self, args):
            time.sleep(60)

        def execute(self, requests):
            return []
"""

SLOW_TO_ANSWER = """
    import time

    import triton_python_backend_utils as pb_utils


    class TritonPythonModel:
        def execute(self, requests):
            time.sleep(1.5)
            return [
                pb_utils.InferenceResponse(
                    [pb_utils.Tensor("y", pb_utils.get_input_tensor_by_name(r, "x").as_numpy() * 3)]
                )
                for r in requests
            ]
"""

PARENT = """
    import sys, time
    from emoserve_server import EmbeddedTriton

    triton = EmbeddedTriton(sys.argv[1], http_port=0, grpc_port=0, metrics_port=0)
    triton.start()
    print(triton.pid, flush=True)
    time.sleep(600)
"""


def ask(triton: EmbeddedTriton, model: str, values: list[float]) -> list[float]:
    """Return the model's `y` for one row, over gRPC."""
    wire = triton_grpc.InferInput("x", [1, len(values)], "FP32")
    wire.set_data_from_numpy(np.array([values], np.float32))
    with triton_grpc.InferenceServerClient(triton.grpc_url.removeprefix("grpc://")) as client:
        return list(client.infer(model, [wire]).as_numpy("y")[0])


def regions(prefix: str) -> set[str]:
    """Return a server's shared memory; others' servers may run on this machine."""
    return {path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(prefix)}


def prefix_of(server: int) -> str:
    """Return the name that all shared memory of a running tritonserver begins with."""
    arguments = Path(f"/proc/{server}/cmdline").read_text().split("\0")
    marked = [argument for argument in arguments if "shm-region-prefix-name=" in argument]
    return marked[0].split("prefix-name=")[1]


def descendants(pid: int) -> set[int]:
    """Return a process and all below it."""
    found = {pid}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found |= descendants(int(child))
    return found


def alive(pids: set[int]) -> set[int]:
    """Return those that still run; a zombie that its parent has not collected does not."""
    running = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z":
            running.add(pid)
    return running


def await_gone(pids: set[int], within_s: float = 20) -> set[int]:
    until = time.monotonic() + within_s
    while (left := alive(pids)) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def test_a_server_answers_and_leaves_nothing(new_repository):
    seen = []
    triton = EmbeddedTriton(
        new_repository().add_python("plus_one").path,
        on_progress=lambda ready, total: seen.append((ready, total)),
        **ANY_PORTS,
    )
    with triton:
        assert ask(triton, "plus_one", [1, 2]) == [2, 3]
        host = triton.http_url.removeprefix("http://")
        with triton_http.InferenceServerClient(host) as client:
            assert client.is_model_ready("plus_one")
        assert [(state.name, state.state) for state in triton.models] == [("plus_one", "READY")]
        pids = descendants(triton.pid)
        assert len(pids) == 2  # tritonserver and one stub
        prefix = prefix_of(triton.pid)
        assert len(regions(prefix)) > 1
        log_file = triton.log_file
        assert "successfully loaded 'plus_one'" in log_file.read_text()
    assert seen[0] == (0, 1)
    assert seen[-1] == (1, 1)
    assert triton.pid is None
    assert alive(pids) == set()
    assert regions(prefix) == set()
    assert not log_file.exists()


def test_only_the_wanted_models_load(new_repository):
    repository = new_repository().add_python("wanted").add_python("other").path
    with EmbeddedTriton(repository, models=["wanted"], **ANY_PORTS) as triton:
        assert ask(triton, "wanted", [1, 2]) == [2, 3]
        assert [one.name for one in triton.models if one.state == "READY"] == ["wanted"]
    with pytest.raises(RepositoryError, match="holds no typo; it holds other, wanted"):
        EmbeddedTriton(repository, models=["typo"], **ANY_PORTS).start()


def test_importing_the_package_does_not_import_pytriton():
    code = "import sys, emoserve_server; print('pytriton' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_the_log_is_kept_where_it_is_wanted_and_relayed(new_repository, tmp_path, capfd):
    log_file = tmp_path / "logs" / "triton.log"
    path = new_repository().add_python("plus_one").path
    with EmbeddedTriton(path, log_file=log_file, relay_log=True, **ANY_PORTS):
        pass
    assert "Started GRPCInferenceService" in log_file.read_text()
    assert "Started GRPCInferenceService" in capfd.readouterr().err


def test_it_starts_again_after_a_stop(new_repository):
    triton = EmbeddedTriton(new_repository().add_python("plus_one").path, **ANY_PORTS)
    for _ in range(2):
        with triton:
            assert ask(triton, "plus_one", [4, 5]) == [5, 6]
    assert triton.stop() is None
    with pytest.raises(RuntimeError, match="not started"):
        triton.wait()


def test_a_taken_port_names_its_holder(new_repository):
    path = new_repository().add_python("plus_one").path
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {port} is taken by .*pid {os.getpid()}"):
            EmbeddedTriton(path, http_port=port, grpc_port=0, metrics_port=0).start()


def test_an_absent_an_empty_and_an_unexported_repository(tmp_path, new_repository):
    with pytest.raises(RepositoryError, match=r"no model repository at .*emoserve export"):
        EmbeddedTriton(tmp_path / "nowhere").start()
    repository = new_repository()
    with pytest.raises(RepositoryError, match="holds no model"):
        EmbeddedTriton(repository.path).start()
    repository.add("face_net", "onnxruntime")
    with pytest.raises(RepositoryError, match=r"lacks face_net/1/model\.onnx"):
        EmbeddedTriton(repository.path).start()


def test_a_model_that_fails_to_load_says_why_in_a_few_lines(new_repository):
    broken = "import a_package_nobody_has\n"
    path = new_repository().add_python("plus_one").add_python("broken", broken).path
    with pytest.raises(StartError) as caught:
        EmbeddedTriton(path, **ANY_PORTS).start()
    message = str(caught.value)
    assert "No module named 'a_package_nobody_has'" in message
    assert "pip install" in message
    assert "broken" in message
    assert len(message.splitlines()) < 25
    assert caught.value.log_file.read_text()


def test_a_model_that_takes_too_long_is_named(new_repository):
    path = new_repository().add_python("sluggish", SLOW_TO_LOAD).path
    began = time.monotonic()
    with pytest.raises(StartError, match=r"not ready after 2 s \(waiting for: sluggish\)"):
        EmbeddedTriton(path, startup_timeout_s=2, exit_timeout_s=1, **ANY_PORTS).start()
    assert time.monotonic() - began < 30


def test_only_loopback_is_served(new_repository):
    with pytest.raises(ValueError, match="loopback only"):
        EmbeddedTriton(new_repository().path, host="0.0.0.0")


def test_a_request_in_flight_gets_its_answer_at_stop(new_repository, serve):
    triton = serve(new_repository().add_python("slow", SLOW_TO_ANSWER))
    answers = []
    caller = threading.Thread(target=lambda: answers.append(ask(triton, "slow", [1, 2])))
    caller.start()
    time.sleep(0.5)
    assert triton.stop() == 0
    caller.join()
    assert answers == [[3, 6]]


def test_a_killed_parent_leaves_no_process_and_no_memory(new_repository):
    path = new_repository().add_python("plus_one").path
    command = [sys.executable, "-c", textwrap.dedent(PARENT), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        server = int(parent.stdout.readline())
        pids = descendants(parent.pid) - {parent.pid}
        assert server in pids
        assert len(pids) == 3  # supervisor, tritonserver, stub
        prefix = prefix_of(server)
        parent.send_signal(signal.SIGKILL)
    assert await_gone(pids) == set()
    assert regions(prefix) == set()


def test_a_killed_server_is_reported_and_cleaned_up(new_repository, serve):
    triton = serve(new_repository().add_python("plus_one"))
    pids, prefix = descendants(triton.pid), prefix_of(triton.pid)
    os.kill(triton.pid, signal.SIGKILL)
    assert triton.wait(timeout_s=20) == 128 + signal.SIGKILL
    assert await_gone(pids) == set()
    assert regions(prefix) == set()


def test_what_a_killed_supervisor_leaves_the_next_start_removes(new_repository, serve):
    repository = new_repository().add_python("plus_one")
    first = serve(repository)
    pids, prefix = descendants(first.pid), prefix_of(first.pid)
    status = Path(f"/proc/{first.pid}/status").read_text()
    supervisor = int(status.split("PPid:")[1].split()[0])
    os.kill(supervisor, signal.SIGKILL)
    assert await_gone(pids) == set()
    assert regions(prefix)
    second = serve(repository)
    assert ask(second, "plus_one", [1, 1]) == [2, 2]
    assert regions(prefix) == set()


def test_two_that_start_at_once_from_an_empty_cache_agree(tmp_path):
    code = "from emoserve_server._assembly import assemble; print(assemble().backends)"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    folders = {run.communicate()[0].strip() for run in runs}
    assert [run.returncode for run in runs] == [0] * 4
    assert len(folders) == 1
    assert len(list((tmp_path / "emoserve").iterdir())) == 1
    assert (Path(folders.pop()) / "onnxruntime" / "model.py").is_file()


def test_idle_cost_is_printed(new_repository, serve, double_and_square, capsys):
    repository = new_repository().add_python("plus_one").add_network("net", double_and_square)
    triton = serve(repository)
    ask(triton, "net", [1, 2])
    time.sleep(1)
    pids = descendants(triton.pid)
    before = sum(map(cpu_ticks, pids))
    time.sleep(3)
    percent = (sum(map(cpu_ticks, pids)) - before) / os.sysconf("SC_CLK_TCK") / 3 * 100
    with capsys.disabled():
        print(f"\nidle: {percent:.1f} % of a core for {len(pids)} processes", end=" ")


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
