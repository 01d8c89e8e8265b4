"""`EmbeddedTriton`: the real tritonserver of a wheel, as a child of this process."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType

from emoserve_server import _health
from emoserve_server._assembly import Assembly, assemble
from emoserve_server._command import Listeners, tritonserver_command
from emoserve_server._errors import StartError
from emoserve_server._log import Relay
from emoserve_server._ports import choose
from emoserve_server._repository import check_repository
from emoserve_server._startup import Progress, wait_until_ready

_SUPERVISOR = Path(__file__).with_name("_supervisor.py")
_BIND_ATTEMPTS = 3
_UNLOAD_S = 2.0  # what Triton takes beyond --exit-timeout-secs
_CLEAN_UP_S = 10.0  # what the supervisor takes to end stubs and remove shared memory


class EmbeddedTriton:
    """A Triton on this machine, ready to answer inside a `with` block.

        with EmbeddedTriton("model_repository", http_port=0, grpc_port=0, metrics_port=0) as triton:
            client = EmotionClient(triton.grpc_url)

    Port 0 takes a free one. `log_file` gets the server's log; without it a temporary file does,
    which is kept when something failed. `relay_log` also copies the log to standard error.
    `models` loads these alone, and must name the models that they ask too; without it all load.
    `on_progress(ready, total)` is called while models load. The server ends with the block, with
    `stop()`, and by itself when this process is gone, even after `kill -9`.
    """

    def __init__(
        self,
        model_repository: str | Path,
        *,
        http_port: int = 8000,
        grpc_port: int = 8001,
        metrics_port: int = 8002,
        host: str = "127.0.0.1",
        log_file: str | Path | None = None,
        relay_log: bool = False,
        models: Sequence[str] = (),
        extra_args: Sequence[str] = (),
        startup_timeout_s: float = 300.0,
        exit_timeout_s: float = 10.0,
        on_progress: Progress | None = None,
    ) -> None:
        if host != "localhost" and not ip_address(host).is_loopback:
            raise ValueError(
                f"host is {host}, but the embedded Triton (2.51) lacks the security fixes since "
                "2025 and may listen on loopback only, such as 127.0.0.1; to serve a network use "
                "NVIDIA's container (server/Dockerfile, k8s/)"
            )
        self.model_repository = Path(model_repository).resolve()
        self._wanted = (http_port, grpc_port, metrics_port)
        self._listeners = Listeners(host, *self._wanted)
        self._log_wanted = Path(log_file) if log_file is not None else None
        self._relay_log = relay_log
        self._models = tuple(models)
        self._extra_args = tuple(extra_args)
        self._startup_timeout_s = startup_timeout_s
        self._exit_timeout_s = exit_timeout_s
        self._on_progress = on_progress
        self._process: subprocess.Popen[str] | None = None
        self._relay: Relay | None = None
        self._pid: int | None = None
        self._log_file: Path | None = None

    @property
    def http_url(self) -> str:
        """The HTTP address, `http://127.0.0.1:8000`."""
        return f"http://{self._listeners.authority(self._listeners.http_port)}"

    @property
    def grpc_url(self) -> str:
        """The gRPC address, `grpc://127.0.0.1:8001`."""
        return f"grpc://{self._listeners.authority(self._listeners.grpc_port)}"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus scrapes, `http://127.0.0.1:8002/metrics`."""
        return f"http://{self._listeners.authority(self._listeners.metrics_port)}/metrics"

    @property
    def pid(self) -> int | None:
        """The process id of tritonserver, None before start and after stop."""
        return self._pid

    @property
    def log_file(self) -> Path | None:
        """Where this run's log is, or was."""
        return self._log_file

    @property
    def models(self) -> tuple[_health.ModelState, ...]:
        """Every model version and its state, asked from the running server."""
        return _health.index(self._listeners.host, self._listeners.http_port)

    def start(self) -> EmbeddedTriton:
        """Return once every model is ready.

        Raises:
            MachineError: this machine lacks something.
            RepositoryError: there is no model to serve, or none of a wanted name.
            PortTakenError: a wanted port is in use.
            StartError: Triton ended, a model failed to load, or time ran out.
        """
        if self._process is not None:
            raise RuntimeError("this server is started already")
        for attempt in range(1, _BIND_ATTEMPTS + 1):
            try:
                self._launch()
                return self
            except StartError as error:
                raced = any("in use" in line for line in error.lines)
                if not (raced and 0 in self._wanted and attempt < _BIND_ATTEMPTS):
                    raise
        raise AssertionError("unreachable")

    def _launch(self) -> None:
        names = check_repository(self.model_repository, self._models)
        assembly = assemble()
        ports = choose(self._listeners.host, self._wanted)
        self._listeners = Listeners(self._listeners.host, *ports)
        log_file = self._open_log()
        try:
            self._process = self._spawn(assembly, log_file)
            assert self._process.stdout is not None
            pid = self._process.stdout.readline().strip()
            self._pid = int(pid) if pid else None
            wait_until_ready(
                self._process,
                log_file,
                names,
                self._listeners,
                self._startup_timeout_s,
                self._on_progress,
            )
        except BaseException as error:
            self.stop(keep_log=isinstance(error, StartError))
            raise

    def _spawn(self, assembly: Assembly, log_file: Path) -> subprocess.Popen[str]:
        prefix = f"emoserve-{secrets.token_hex(6)}"
        command = tritonserver_command(
            assembly,
            self.model_repository,
            self._listeners,
            shm_prefix=prefix,
            exit_timeout_s=self._exit_timeout_s,
            models=self._models,
            extra=self._extra_args,
        )
        grace_s = self._exit_timeout_s + _UNLOAD_S
        supervisor = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(grace_s), prefix]
        with log_file.open("a") as log:
            return subprocess.Popen(
                [*supervisor, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=assembly.environment,
                text=True,
                start_new_session=True,  # a Ctrl-C in the terminal is for us to pass on
            )

    def _open_log(self) -> Path:
        if self._log_wanted is not None:
            path = self._log_wanted.resolve()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        else:
            path = Path(tempfile.mkdtemp(prefix="emoserve-")) / "triton.log"
            path.touch()
        self._log_file = path
        if self._relay_log:
            self._relay = Relay(path)
        return path

    def wait(self, timeout_s: float | None = None) -> int:
        """Return the server's exit status once it has ended; 128 + n when signal n ended it.

        Raises:
            TimeoutError: it still runs after `timeout_s`.
            RuntimeError: it was not started.
        """
        if self._process is None:
            raise RuntimeError("this server is not started")
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"Triton still runs after {timeout_s} s") from error

    def stop(self, *, keep_log: bool = False) -> int | None:
        """Return the server's exit status after it has ended, None when it did not run.

        Requests in flight finish first, for at most `exit_timeout_s`.
        """
        process, self._process = self._process, None
        relay, self._relay = self._relay, None
        self._pid = None
        try:
            code = None if process is None else self._end(process)
        finally:
            if relay is not None:
                relay.close()
        if code == 0 and not keep_log and self._log_wanted is None and self._log_file is not None:
            self._log_file.unlink(missing_ok=True)
            self._log_file.parent.rmdir()
        return code

    def _end(self, process: subprocess.Popen[str]) -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()  # the supervisor takes this as the order to stop
            return process.wait(self._exit_timeout_s + _UNLOAD_S + _CLEAN_UP_S)
        except BaseException:
            process.kill()  # a second Ctrl-C: the server dies with its supervisor
            process.wait()
            raise
        finally:
            process.stdout.close()

    def __enter__(self) -> EmbeddedTriton:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
