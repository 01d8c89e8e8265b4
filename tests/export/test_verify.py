"""`emoserve verify` and versions, against a real Triton."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from safetensors.torch import save_file

from emoserve_export import cli_verify, golden_file
from emoserve_export.declaration import Network
from emoserve_export.exporting import Choices, export
from emoserve_export.replay import Judgement, infer
from emoserve_export.versions import roll_back
from emoserve_export.weights.source import Checkpoint
from emoserve_server import EmbeddedTriton

from .conftest import Declare, tiny_state

ALONE = Choices(with_steps=False)
POLL = ("--model-control-mode=poll", "--repository-poll-secs=1")


def served(repository: Path, *extra: str) -> EmbeddedTriton:
    return EmbeddedTriton(repository, http_port=0, grpc_port=0, metrics_port=0, extra_args=extra)


@pytest.fixture
def newer(variant: Declare, tmp_path: Path) -> Network:
    """The tiny network, trained differently."""
    save_file(tiny_state(seed=5), str(tmp_path / "new.safetensors"))
    return variant(checkpoint=(Checkpoint(tmp_path / "new.safetensors"),))


def test_golden_requests_come_back_equal(
    tiny: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "repo"
    export([tiny], repository, ALONE)
    with served(repository) as server:
        options = ["--url", server.grpc_url, "--repository", str(repository)]
        assert cli_verify.main([*options, "--json", str(tmp_path / "rows.json")]) == 0
    assert "1 models, 0 differ" in capsys.readouterr().out
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["output"], row["stage"]) for row in rows] == [
        ("emotion", "served"),
        ("embedding", "served"),
        ("emotion", "trained"),
        ("embedding", "trained"),
    ]
    assert all(row["items"] == 2 and row["max_absolute"] < 1e-5 for row in rows)


def test_a_server_that_serves_other_weights_is_found_out(
    tiny: Network, newer: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export([tiny], tmp_path / "repo", ALONE)
    export([newer], tmp_path / "other", ALONE)
    with served(tmp_path / "other") as server:
        assert (
            cli_verify.main(["--url", server.grpc_url, "--repository", str(tmp_path / "repo")]) == 1
        )
    assert "1 models, 1 differ: ['tiny_net']" in capsys.readouterr().out


def test_a_model_that_is_not_served_is_named(
    tiny: Network, variant: Declare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export([tiny, variant(name="absent_net")], tmp_path / "repo", ALONE)
    export([tiny], tmp_path / "less", ALONE)
    with served(tmp_path / "less") as server:
        assert (
            cli_verify.main(["--url", server.grpc_url, "--repository", str(tmp_path / "repo")]) == 1
        )
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 models, 1 differ: ['absent_net']" in shown


def test_without_a_server_it_says_how_to_start_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli_verify.main(["--url", "grpc://127.0.0.1:9", "--repository", str(tmp_path)]) == 4
    assert "start one with `emoserve serve`" in " ".join(capsys.readouterr().err.split())
    assert cli_verify.main(["--url", "http://127.0.0.1:9"]) == 1
    assert "verify speaks gRPC" in capsys.readouterr().err


class Caller:
    """Asks the tiny network without a pause and remembers which version answered, and failures."""

    def __init__(self, url: str, stored: dict[str, dict[str, np.ndarray]]) -> None:
        self._client = triton.InferenceServerClient(url.removeprefix("grpc://"))
        self._inputs = stored["in"]
        self.failures: list[str] = []
        self.last = np.zeros(0)
        self.answers = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.last = infer(self._client, "tiny_net", self._inputs, ("emotion",))["emotion"]
                self.answers += 1
            except Exception as error:  # noqa: BLE001  each failure is counted
                self.failures.append(str(error))

    def __enter__(self) -> "Caller":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def stored_in(repository: Path, version: int) -> dict[str, dict[str, np.ndarray]]:
    path = repository / "tiny_net" / str(version) / golden_file.FILE
    return golden_file.unpacked(path.read_bytes())


def test_a_new_version_and_a_rollback_reach_a_running_server_without_a_failed_request(
    tiny: Network, newer: Network, tmp_path: Path
) -> None:
    repository = tmp_path / "repo"
    export([tiny], repository, ALONE)
    first = stored_in(repository, 1)
    with served(repository, *POLL) as server, Caller(server.grpc_url, first) as caller:

        def answers(version: dict[str, dict[str, np.ndarray]]) -> bool:
            expected = version["graph"]["emotion"]
            return caller.last.shape == expected.shape and np.allclose(
                caller.last, expected, atol=1e-5
            )

        wait_for(lambda: answers(first))
        export([newer], repository, ALONE)
        second = stored_in(repository, 2)
        assert not np.allclose(first["graph"]["emotion"], second["graph"]["emotion"], atol=1e-3)
        wait_for(lambda: answers(second))
        assert roll_back("tiny_net", repository) == 1
        wait_for(lambda: answers(first))
    assert caller.failures == []
    assert caller.answers > 100


def judged(expected: object, found: object) -> list[str]:
    judgement = Judgement(0.01)
    judgement.same(expected, found, "answer")
    return judgement.problems


@pytest.fixture
def answer() -> dict[str, object]:
    return {
        "emotions": [{"label": "joy", "confidence": 0.51}, {"label": "fear", "confidence": 0.49}],
        "faces": [{"box": [1.0, 2.0, 30.0, 40.0]}],
        "models": {"face_net": "1"},
    }


def test_answers_are_equal_within_tolerance(answer: dict[str, object]) -> None:
    near = json.loads(json.dumps(answer))
    near["emotions"] = [
        {"label": "fear", "confidence": 0.498},
        {"label": "joy", "confidence": 0.502},
    ]
    near["faces"][0]["box"][0] = 2.5
    near["models"] = {"face_net": "7"}
    assert judged(answer, near) == []


def test_each_difference_of_an_answer_is_named(answer: dict[str, object]) -> None:
    far = json.loads(json.dumps(answer))
    far["emotions"][0]["confidence"] = 0.6
    far["faces"] = []
    far["extra"] = 1
    assert judged(answer, far) == [
        "answer.emotions[1].confidence is 0.6, expected 0.51",
        "answer.extra is new",
        "answer.faces has 0 entries, expected 1",
    ]


def test_a_truth_value_is_no_number() -> None:
    assert judged({"speech": True}, {"speech": 1}) == []
    assert judged({"speech": True}, {"speech": False}) == ["answer.speech is False, expected True"]
