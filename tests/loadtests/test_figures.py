"""From rows to figures, objectives and a page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from emoserve_loadtests import page
from emoserve_loadtests.accuracy import accuracy
from emoserve_loadtests.gates import check, read_gates
from emoserve_loadtests.media import Corpus, Item
from emoserve_loadtests.options import Options
from emoserve_loadtests.report import Report, contents, held
from emoserve_loadtests.rows import ROW, Rows
from emoserve_loadtests.schedule import make_schedule

TEXTS = [Item("text", "short", "text", {"text": "What?"}, "surprise"),
         Item("text", "short", "text", {"text": "No."}, "")]  # fmt: skip


def rows_at(rate: int, seconds: int, latency_s: float, stage: int, began_s: float) -> Rows:
    """Requests in an even row; every second one of item 1, and answers «surprise»."""
    due = began_s + np.arange(rate * seconds) / rate
    rows = np.zeros(len(due), ROW)
    rows["scheduled_s"] = rows["sent_s"] = 1000 + due
    rows["ended_s"], rows["offset_s"] = 1000 + due + latency_s, due
    rows["stage"], rows["pipeline"], rows["modality"] = stage, "text", "text"
    rows["item"], rows["answer"], rows["bytes"] = np.arange(len(due)) % 2, "surprise", 5
    return rows


def report(rows: Rows, gates: Path | None = None) -> dict:
    options = Options(
        url="grpc://here:8001", loop="open", schedule=make_schedule("steps", [10, 20], 10),
        settle_s=0.0, seed=1, timeout_s=30, media=None, out=Path(), slo=gates, stats_url="",
        metrics_url="", prometheus_port=0, streams=1,
    )  # fmt: skip
    server = {"samples": [], "batches": {}, "missing": {"metrics": "no answer"}}
    found = read_gates(gates) if gates else ()
    return contents(Report(options, rows, Corpus(TEXTS, "made here"), server, found))


@pytest.fixture
def steady() -> Rows:
    return np.concatenate([rows_at(10, 10, 0.05, 0, 0), rows_at(20, 10, 0.2, 1, 10)])


def test_stages_have_figures_of_their_own(steady: Rows) -> None:
    first, second = report(steady)["stages"]
    assert (first["total"]["requests"], second["total"]["requests"]) == (100, 200)
    assert first["total"]["latency_ms"]["p99"]["value"] == pytest.approx(50)
    assert second["total"]["latency_ms"]["p50"] == {"value": 200.0, "low": 200.0, "high": 200.0}
    assert second["total"]["offered_per_s"] == 20
    # of those due in the last 0.2 s the answers came after the end; of the first stage's, one
    assert second["total"]["throughput_per_s"] == pytest.approx(19.7, abs=0.11)


def test_answers_count_when_they_come_and_failures_never(steady: Rows) -> None:
    slow = steady.copy()
    slow["ended_s"][:100] += 60  # a stall: all answers of the first stage come after the run
    slow["error"][100:110] = b"Deadline"
    found = report(slow)
    assert found["stages"][0]["total"]["throughput_per_s"] == 0
    assert found["stages"][0]["total"]["latency_ms"]["p50"]["value"] == pytest.approx(60_050)
    assert found["total"]["errors"] == {"Deadline": 10}
    assert found["stages"][1]["total"]["latency_ms"]["p99"]["value"] is None
    assert found["stages"][1]["total"]["latency_ms"]["p95"]["value"] == pytest.approx(200)


def test_answers_are_held_against_labels_and_the_idle_server(steady: Rows) -> None:
    corpus = Corpus(TEXTS, "made here")
    assert accuracy(steady, corpus, {0: "surprise", 1: "anger"})["text"] == {
        "answers": 300,
        "labelled": 150,
        "label_accuracy": 1.0,
        "agreement": 0.5,
        "reference_label_accuracy": 1.0,
    }


def test_objectives_are_held_or_broken(steady: Rows, tmp_path: Path) -> None:
    path = tmp_path / "slo.toml"
    path.write_text(
        "[total]\np95_ms = 250\nthroughput = 5\nerror_ratio = 0\n[text]\np50_ms = 100\n"
    )
    found = report(steady, path)
    outcome = {(one["group"], one["objective"]): one["held"] for one in found["gates"]}
    assert outcome == {
        ("total", "p95_ms"): True,
        ("total", "throughput"): True,
        ("total", "error_ratio"): True,
        ("text", "p50_ms"): False,
    }
    assert not held(found)
    path.write_text("[face]\np95_ms = 250\n")
    assert not check(read_gates(path), found)[0]["held"], "no request, no proof"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("p95_ms = 3", "must stand in a table"),
        ("[total]\np97_ms = 3", "known are: p50_ms"),
        ("", "holds no objective"),
        ("[total", "no TOML"),
    ],
)
def test_a_wrong_objective_is_named(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "slo.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_gates(path)


def test_the_page_needs_nothing_else(steady: Rows) -> None:
    found = report(steady)
    made = page.html(found)
    assert not re.findall(r'(?:src|href)="(?!data:)', made)
    assert made.count("data:image/png;base64,") == 3  # no server: no queue, no batches
    assert "not measured: metrics (no answer)" in made
    assert "50 [50, 50]" in page.text(found)
    assert json.loads(json.dumps(found)) == found


def test_a_run_without_an_answer_has_a_report_too(steady: Rows) -> None:
    steady["error"] = b"Unreachable"
    found = report(steady)
    assert "Unreachable" in page.html(found)
    assert found["total"]["error_ratio"] == 1
    assert not held(found)
    assert "total" in page.text(report(steady[:0]))
    assert page.html(report(steady[:0]))
