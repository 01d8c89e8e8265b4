"""The comparison with peers: real answers over every protocol, and what becomes of figures."""

import contextlib
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emoserve_peers import environments, processes, records, report, rounds, servers
from emoserve_peers.answers import difference
from emoserve_peers.command import arguments
from emoserve_peers.errors import DataError, GeneratorError
from emoserve_peers.generator import Load, generate, in_window, split
from emoserve_peers.goals import goals
from emoserve_peers.limit import limit
from emoserve_peers.messages import PROTOCOLS, Message
from emoserve_peers.payloads import BODIES, KINDS, read_workload
from emoserve_peers.records import Footprint, Record
from emoserve_peers.rounds import Series, interleaved, ratio
from emoserve_peers.servers import Running
from emoserve_peers.starts import start_times
from emoserve_peers.systems import (
    COMPARED,
    LIMIT,
    LIMITS,
    PEERS,
    PROCESSES,
    SERVERS,
    SYSTEMS,
    TUNED,
)
from emoserve_peers.tables import digits
from emoserve_peers.work import joined, taken_apart
from emoserve_server import EmbeddedTriton

ROOT = Path(__file__).resolve().parents[2]


NETWORKS = (("text_net", "1"), ("text_net", "2"), ("face_net", "1"))


def answer(confidence: float, box: float = 10.0, label: str = "joy") -> bytes:
    scores = [
        {"label": label, "confidence": confidence},
        {"label": "fear", "confidence": 1 - confidence},
    ]
    ranked = sorted(scores, key=lambda score: -float(str(score["confidence"])))
    return json.dumps({"faces": [{"box": [box, 20.0], "emotions": ranked}]}).encode()


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (answer(0.5001), 0.0002),  # ranked the other way round
        (answer(0.4999, box=12), 0.002),  # two pixels
        (answer(0.4999, label="anger"), float("inf")),
        (b'{"faces":[]}', float("inf")),
        (b'{"error":"no"}', float("inf")),
    ],
)
def test_answers_differ_by_their_numbers_not_by_their_order(other: bytes, expected: float) -> None:
    assert difference(answer(0.4999), other) == pytest.approx(expected, abs=1e-9)
    assert difference(other, other) == 0


def test_a_tuned_network_is_the_same_in_another_version() -> None:
    first, tuned, other = ({"models": {name: version}} for name, version in NETWORKS)
    assert difference(json.dumps(first).encode(), json.dumps(tuned).encode()) == 0
    assert difference(json.dumps(first).encode(), json.dumps(other).encode()) == float("inf")


def test_only_answers_that_end_inside_the_window_count() -> None:
    begin = 1_000_000_000_000_000
    rows = np.array(
        [
            [begin, 200, 400_000],  # in the warm-up
            [begin + 100_000, 200, 500_000],  # begins in the warm-up, ends in the window
            [begin + 900_000, 200, 100_000],
            [begin + 1_000_000, 500, 100_000],
            [begin + 2_400_000, 200, 200_000],  # ends after it
        ]
    )
    load = in_window(rows, 0.5, 2.0)
    assert load.rate_hz == 1.0
    assert load.latencies_s.tolist() == [0.5, 0.1]
    assert load.errors == 1
    assert in_window(np.zeros((0, 3), np.int64), 0.5, 2.0).errors == 1


def test_callers_are_shared_among_the_bodies() -> None:
    assert split(1, 4) == [1]
    assert split(8, 4) == [2, 2, 2, 2]
    assert split(6, 4) == [2, 2, 1, 1]


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200 if body == b"good" else 503)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


needs_h2load = pytest.mark.skipif(
    shutil.which("h2load") is None, reason="h2load is missing: apt-get install nghttp2-client"
)


@needs_h2load
def test_the_generator_counts_answers_and_errors(echo: str) -> None:
    good, bad = Message("/", b"good"), Message("/", b"bad")
    load = generate(echo, [good], 2, 0.1, 0.5)
    assert load.count == round(load.rate_hz * 0.5) > 10
    assert load.errors == 0
    assert 0 < load.generator_s < 0.01
    mixed = generate(echo, [good, bad], 2, 0.1, 0.5)
    assert mixed.count > 0
    assert mixed.errors > 0
    with pytest.raises(GeneratorError, match="h2load failed"):
        generate("nonsense", [good], 1, 0.1, 0.2)


def test_bodies_of_several_parts_come_apart_again() -> None:
    parts = [b"picture", b"", "é".encode()]
    assert taken_apart(joined(parts)) == parts


@pytest.fixture(scope="module")
def running(triton: EmbeddedTriton) -> Running:
    assert triton.pid is not None
    assert triton.log_file is not None
    rpc = triton.grpc_url.replace("grpc", "http", 1)
    return Running(triton.pid, triton.http_url, rpc, triton.log_file)


@pytest.mark.parametrize("name", ["text", "emotion"])
def test_triton_answers_as_the_limit_does(
    name: str, data: Path, repository: Path, running: Running
) -> None:
    workload = read_workload(name, data)
    assert len(set(workload.bodies)) == BODIES
    with limit(workload.pipeline, repository) as bare:
        wanted = bare.answers(workload.bodies)
        load = bare.measure(workload.bodies, 8, 0.0, 0.3)
    assert load.count > 0
    for protocol in ("triton-http", "triton-grpc"):
        got = [running.ask(protocol, workload, body) for body in workload.bodies]
        assert max(map(difference, wanted, got)) < 2e-3


def test_every_workload_is_made_of_the_data(data: Path) -> None:
    for name, (pipeline, _, _) in KINDS.items():
        workload = read_workload(name, data)
        assert workload.pipeline == pipeline
        assert len(set(workload.bodies)) == BODIES
    with pytest.raises(DataError, match="--data"):
        read_workload("text", data / "nowhere")


def test_processes_are_weighed(triton: EmbeddedTriton) -> None:
    assert triton.pid is not None
    pids = processes.family(triton.pid)
    assert len(pids) > 5  # the server and its steps
    assert processes.memory_mb(pids) > 100
    assert processes.processor_s(pids) > 0
    assert processes.alive(triton.pid)
    assert set(processes.idle_shares({"triton": pids}, 0.2)) == {"triton"}


def load(rate_hz: float) -> Load:
    return Load(rate_hz, np.full(10, 0.02), 0)


def test_a_server_is_waited_for_until_it_rests() -> None:
    work_s = 0.7
    burn = f"import time\nwhile time.process_time() < {work_s}: pass\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", burn]) as busy:
        try:
            processes.wait_for_rest([busy.pid], idle_cores=0.0)
            assert processes.processor_s([busy.pid]) >= work_s - 0.05
            assert processes.alive(busy.pid)
        finally:
            busy.kill()


def test_rounds_measure_all_in_turn_and_compare_within_a_round() -> None:
    order: list[str] = []

    def measure(name: str, rates: list[float]):
        def one(number: int) -> Load:
            order.append(name)
            return load(rates[number])

        return one

    seen = interleaved(
        {"a": measure("a", [100, 50, 200]), "b": measure("b", [90, 10, 160])}, rounds=3
    )
    assert "".join(order) == "abbaab"
    assert ratio(seen["b"], seen["a"]) == 0.8  # of 0.9, 0.2 and 0.8
    assert seen["a"].p95_ms == pytest.approx([20, 20, 20])


def test_a_disturbed_measurement_is_taken_again_but_not_for_ever() -> None:
    calls: list[int] = []

    def measure(number: int) -> Load:
        calls.append(number)
        time.sleep(0.05)
        return load(len(calls))

    got = rounds.undisturbed(measure)(7)
    assert set(calls) == {7}
    assert 1 <= len(calls) <= rounds.TRIES
    assert got.others_cores <= rounds.QUIET_CORES or len(calls) == rounds.TRIES


def series(rate_hz: float, p95_ms: float = 10.0) -> Series:
    return Series([rate_hz] * 3, [p95_ms / 2] * 3, [p95_ms] * 3, 0, [20.0] * 3)


@pytest.fixture
def record() -> Record:
    footprints = {
        "emoserve": Footprint(2.0, 300.0, 0.001),
        "fastapi": Footprint(1.0, 320.0, 0.005),
    }
    systems = {
        LIMIT: series(100),
        PROCESSES: series(120),
        "emoserve": series(94, 12),
        "emoserve-grpc": series(96, 9),
        "fastapi": series(90, 10),
    }
    differences = {"emoserve": 0.0, "fastapi": 1e-4}
    return Record("face-640", "pictures", differences, footprints, {32: systems})


def test_goals_take_the_better_protocol_and_the_best_peer(record: Record) -> None:
    found = {goal.wanted: goal for goal in goals({record.workload: record})}
    told = {wanted: (goal.measured, goal.met) for wanted, goal in found.items()}
    assert told == {
        "`face-640`, 32 callers: at least 0.95 x «no server, a thread per core»": (
            "0.96 (emoserve, gRPC; 0.80 x «no server, a process per core»)",
            True,
        ),
        "`face-640`, 32 callers: p95 no worse than the best peer's": (
            "9 ms, FastAPI + ONNX Runtime 10 ms",
            True,
        ),
        "`face-640`: idle below 2 % of a core": ("0.1%", True),
        "`face-640`: memory no more than the leanest peer's": (
            "300 MB, FastAPI + ONNX Runtime 320 MB",
            True,
        ),
        "`face-640`: start-up no longer than the quickest peer's": (
            "2.00 s, FastAPI + ONNX Runtime 1.00 s",
            False,
        ),
    }


def test_the_tuned_precision_is_held_against_the_best_peer_by_itself(record: Record) -> None:
    systems = {**record.series[32], TUNED: series(110)}
    tiny = replace(record, workload="face-tiny", footprints={}, series={32: systems})
    told = {goal.wanted: (goal.measured, goal.met) for goal in goals({"face-tiny": tiny})}
    who = "`face-tiny`, 32 callers: at least 1.2 x the best peer, "
    assert told[f"{who}in fp32"] == ("1.07 x FastAPI + ONNX Runtime (emoserve, gRPC)", False)
    assert told[f"{who}tuned precision"] == (
        "1.22 x FastAPI + ONNX Runtime (emoserve, tuned precision)",
        True,
    )


def test_sessions_of_one_workload_are_put_together(record: Record, tmp_path: Path) -> None:
    record.write(tmp_path)
    replace(record, series={8: record.series[32]}).write(tmp_path)
    (together,) = records.read(tmp_path).values()
    assert set(together.series) == {8, 32}
    assert together.series[8] == record.series[32]
    assert together.footprints == record.footprints


def test_the_report_replaces_its_own_section_only(record: Record, tmp_path: Path) -> None:
    page, picture = tmp_path / "benchmarks.md", tmp_path / "figures" / "peers.png"
    page.write_text("# Benchmarks\n\n## Before\n\nkept\n")
    report.write({record.workload: record}, {"given": {1: 8.0}}, page, picture)
    page.write_text(page.read_text() + "\n## After\n\nkept too\n")
    report.write({record.workload: record}, {"given": {1: 8.0}}, page, picture)
    text = page.read_text()
    assert text.count("## Peers") == 1
    assert re.findall("^## .*$", text, re.M) == ["## Before", "## Peers", "## After"]
    assert "| 32 | emoserve, gRPC | 0.96 | 0.96 to 0.96 | 0.80 | 96 | 4.5 | 9 | 0 |" in text
    assert "| given | 8.0 |" in text
    assert "(figures/peers.png)" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_every_system_says_how_it_is_set_up() -> None:
    for name, system in SYSTEMS.items():
        assert system.setup
        assert system.protocol in PROTOCOLS
        if name in PEERS:
            assert system.source.startswith("https://")
            assert system.server in SERVERS
    assert set(COMPARED) <= set(SYSTEMS)
    assert not set(LIMITS) & set(SYSTEMS)


def test_milliseconds_are_written_as_people_read_them() -> None:
    assert [digits(value) for value in (4.163, 99.96, 453.4, 3054.0)] == [
        "4.16",
        "100",
        "453",
        "3054",
    ]


def test_environments_are_pinned_in_full() -> None:
    for server in SERVERS.values():
        lines = environments.requirements(server.environment).splitlines()
        assert [line for line in lines if not re.match(r"^[\w.\[\]-]+==\S+", line)] == []
        pinned = [re.split("==", line)[0].lower().replace("_", "-") for line in lines]
        assert set(environments.ENSEMBLE) <= set(pinned)


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--peers", "emoserve,fastpi"])
    assert "unknown: fastpi" in capsys.readouterr().err


def test_starts_are_timed_alone_and_once_per_server(
    repository: Path, data: Path, tmp_path: Path
) -> None:
    up: list[str] = []
    begun: list[str] = []

    @contextlib.contextmanager
    def begin(server: str) -> Iterator[Running]:
        assert up == []
        begun.append(server)
        up.append(server)
        with servers.started(server, "text", repository, tmp_path) as running:
            yield running
        assert not processes.alive(running.root)
        up.remove(server)

    steps: list[None] = []
    workload = read_workload("text", data)
    seen = start_times(
        workload, ["emoserve", "emoserve-grpc"], begin, 2, lambda: steps.append(None)
    )
    assert begun == ["emoserve", "emoserve"]
    assert len(steps) == 2
    assert set(seen) == {"emoserve"}
    assert seen["emoserve"] > 0
