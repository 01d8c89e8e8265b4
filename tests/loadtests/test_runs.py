"""Real Locust runs against a real Triton: a stall, two workers, objectives, the exit code."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import gevent
import numpy as np
import pytest

from emoserve_loadtests.cli import parser
from emoserve_loadtests.media import read_corpus
from emoserve_loadtests.perf_analyzer import _long_enough, write_tensors
from emoserve_loadtests.rows import Rows, latency_s
from emoserve_loadtests.scenarios import offline_scenario
from emoserve_loadtests.schedule import arrivals, make_schedule
from emoserve_loadtests.served import Server
from emoserve_loadtests.session import now_s, run_arrivals
from emoserve_loadtests.telemetry import Telemetry
from emoserve_loadtests.trial import Trial, locust, meeting_point
from emoserve_server import EmbeddedTriton

STALL_S = 1.5


def run(triton: EmbeddedTriton, out: Path, url: str, *arguments: str) -> tuple[int, dict, Rows]:
    """Run Locust; return its exit code, the report and the rows."""
    given = ["--headless", "--only-summary", "--host", url, "--out", str(out)]
    given += ["--stats-url", triton.http_url, "--metrics-url", triton.metrics_url]
    done = subprocess.run(
        locust([*arguments, *given]), capture_output=True, text=True, check=False, timeout=120
    )
    assert (out / "report.json").is_file(), done.stdout + done.stderr
    with np.load(out / "rows.npz") as stored:
        rows = stored["rows"]
    return done.returncode, json.loads((out / "report.json").read_text()), rows


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def test_arrivals_are_neither_skipped_nor_put_off() -> None:
    due = (now_s() + np.arange(50) / 500).tolist()
    begun: list[float] = []

    def call(at_s: float) -> None:
        begun.append(at_s)
        if len(begun) == 10:
            gevent.sleep(0.3)  # one answer is slow
        if len(begun) == 20:
            threading.Event().wait(0.1)  # the generator itself hangs

    run_arrivals(due, call)
    assert begun == due


def test_a_server_that_stalls_cannot_hide(triton: EmbeddedTriton, tmp_path: Path) -> None:
    assert triton.pid is not None
    pid, port = triton.pid, 17_000 + os.getpid() % 10_000
    stop = threading.Timer(4.5, os.kill, (pid, signal.SIGSTOP))
    go = threading.Timer(4.5 + STALL_S, os.kill, (pid, signal.SIGCONT))
    exposed: list[str] = []
    scrape = threading.Timer(7.5, lambda: exposed.append(page(f"http://127.0.0.1:{port}/metrics")))
    for timer in (stop, go, scrape):
        timer.start()
    try:
        code, report, rows = run(
            triton, tmp_path, triton.grpc_url, "Text", "--loop", "open", "--levels", "20",
            "--stage-seconds", "9", "--settle-seconds", "0", "--seed", "4",
            "--prometheus-port", str(port),
        )  # fmt: skip
    finally:
        scrape.join()
        os.kill(pid, signal.SIGCONT)
    due = arrivals(make_schedule("steps", [20], 9), seed=4)
    assert code == 0
    assert len(rows) == report["total"]["requests"] == len(due), "every arrival has its row"
    np.testing.assert_allclose(rows["offset_s"], due, atol=1e-6)
    # those due in the stall waited for its end, and are counted from when they were due
    late = np.sort(latency_s(rows))[::-1]
    expected = np.sort(STALL_S - np.arange(0, STALL_S, 1 / 20))[::-1]
    assert late[0] > 0.8 * STALL_S
    assert np.count_nonzero(late > STALL_S / 2) > 0.5 * np.count_nonzero(expected > STALL_S / 2)
    assert report["server"]["models"]["text"]["answered"] >= len(rows)
    assert sum(report["server"]["batches"]["text"].values()) > 0
    assert report["accuracy"]["text"]["answers"] == len(rows)
    assert 'emoserve_load_requests_total{error="",modality="text",pipeline="text"}' in exposed[0]


def test_two_workers_are_merged_and_objectives_decide(
    triton: EmbeddedTriton, tmp_path: Path
) -> None:
    slo = tmp_path / "slo.toml"
    slo.write_text("[total]\nerror_ratio = 0\n[text]\nthroughput = 100000\n")
    code, report, rows = run(
        triton, tmp_path, triton.http_url, "Text", "--loop", "open", "--shape", "ramp",
        "--levels", "5,25", "--stage-seconds", "3", "--settle-seconds", "0", "--processes", "2",
        "--slo", str(slo), *meeting_point(),
    )  # fmt: skip
    schedule = make_schedule("ramp", [5, 25], 3)
    streams = [arrivals(schedule, 1, stream, streams=2) for stream in (0, 2)]
    np.testing.assert_allclose(
        np.sort(rows["offset_s"]), np.sort(np.concatenate(streams)), atol=1e-6
    )
    assert report["total"]["requests"] == len(rows) == sum(map(len, streams))
    assert [gate["held"] for gate in report["gates"]] == [True, False]
    assert code == 1


def test_callers_of_every_pipeline_over_http(triton: EmbeddedTriton, tmp_path: Path) -> None:
    code, report, rows = run(
        triton, tmp_path, triton.http_url, "Mix", "--levels", "3", "--stage-seconds", "4"
    )
    assert code == 0, report["total"]["errors"]
    assert len(rows) == sum(model["answers"] for model in report["accuracy"].values())
    assert {"face", "speech", "text", "emotion"} <= set(report["pipelines"])
    # never more at a time than there are callers
    edges = np.concatenate([rows["sent_s"], rows["ended_s"]])
    steps = np.concatenate([np.ones(len(rows)), -np.ones(len(rows))])
    assert np.cumsum(steps[np.argsort(edges, kind="stable")]).max() <= 3
    assert (tmp_path / "report.html").stat().st_size > 50_000


def test_tensors_for_perf_analyzer_are_what_the_model_takes(
    triton: EmbeddedTriton, tmp_path: Path
) -> None:
    server = Server(triton.grpc_url, triton.http_url, triton.metrics_url)
    for model, dtype in (("text_net", np.int64), ("face", object)):
        path = write_tensors(model, server, tmp_path)
        (item,) = read_corpus(path).items
        first = next(iter(item.inputs["tensors"].values()))
        assert first.dtype == dtype
        assert first.shape[0] == 1
    trial = Trial("model", (), 2, media=tmp_path / "text_net.json")
    found = offline_scenario(trial, server, tmp_path / "out", callers=2)
    assert found["throughput_per_s"] > 0
    assert found["accuracy"]["model"]["agreement"] == 1
    assert (found["accurate"], found["cache_hits"]) == (True, 0)


def test_what_cannot_be_measured_is_told() -> None:
    telemetry = Telemetry("http://127.0.0.1:9/metrics", "http://127.0.0.1:9")
    telemetry.start()
    found = telemetry.stop()
    assert set(found["missing"]) == {"metrics", "statistics"}
    assert found["samples"][0]["server"] is None
    assert found["samples"][0]["generator"]["cpu_s"] > 0


def test_the_commands_of_the_readme_are_understood() -> None:
    readme = (Path(__file__).parents[2] / "loadtests" / "README.md").read_text()
    lines = [
        line.split("#")[0] for line in readme.splitlines() if line.startswith("emoserve bench")
    ]
    assert len(lines) >= 10
    for line in lines:
        options, rest = parser().parse_known_args(line.split()[2:])
        assert not rest or options.command == "run", line


@pytest.mark.parametrize("command", ["server", "offline", "check", "capacity"])
def test_every_command_explains_itself(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "emoserve_client.cli", "bench", command, "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--" in done.stdout


def test_rounds_are_long_enough_for_perf_analyzer() -> None:
    # 8 callers at 200/s: a window of 2 s holds 400 requests, 2 % of which are in flight at its end
    assert _long_enough(1, 8, 200) == pytest.approx(6)
    assert _long_enough(9, 8, 200) == 9
    assert _long_enough(1, 8, 1) == 30


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--levels", "0"], "a schedule needs levels"),
        (["--slo", "none.toml"], "No such file"),
        (["--media", "none"], "none has nothing for face, speech, text, video"),
    ],
)
def test_a_wrong_option_is_told_before_anything_runs(given: list[str], message: str) -> None:
    done = subprocess.run(
        locust(["Text", "--headless", *given]), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "emoserve bench run: " in done.stderr
    assert message in done.stderr
