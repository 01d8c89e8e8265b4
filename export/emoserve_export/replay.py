"""Golden requests against a running server: each network, then each public pipeline."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from emoserve_ensemble.arrays import Tensor as Array
from emoserve_export import golden_file
from emoserve_export.declaration import Arrays, Tolerance
from emoserve_export.errors import RepositoryError
from emoserve_export.manifest import Manifest, read_manifest
from emoserve_export.parity import Comparison, Subject, compare, failed_comparison

TIMEOUT_S = 120.0
SAME_GRAPH = Tolerance(1e-4, 1e-3, 0.9999, 1.0)  # two builds of ONNX Runtime on two processors
BOX_PX = 2.0


def replay(client: triton.InferenceServerClient, repository: Path) -> Iterator[list[Comparison]]:
    """Yield the comparisons of each model in turn.

    Raises:
        RepositoryError: nothing was exported into this repository.
        tritonclient.utils.InferenceServerException: no answer came.
    """
    manifest = read_manifest(repository)
    if not manifest.networks:
        raise RepositoryError(f"{repository} has no golden requests: run `emoserve export`")
    for name, entry in sorted(manifest.networks.items()):
        path = repository / name / str(entry["version"]) / golden_file.FILE
        if path.is_file():
            yield _network(client, name, entry, golden_file.unpacked(path.read_bytes()))
    for name in golden_file.PIPELINES:
        path = repository / name / "1" / golden_file.FILE
        if path.is_file():
            quantised = any_quantised(manifest)
            yield [_pipeline(client, name, golden_file.unpacked(path.read_bytes()), quantised)]


def any_quantised(manifest: Manifest) -> bool:
    """Return whether a network is served in less than float32."""
    return any(
        (manifest.record(name) or {}).get("precision") != "fp32" for name in manifest.networks
    )


def _network(
    client: triton.InferenceServerClient,
    name: str,
    entry: dict[str, Any],
    stored: dict[str, Arrays],
) -> list[Comparison]:
    record = entry["versions"][str(entry["version"])]
    try:
        answer = infer(client, name, stored["in"], tuple(stored["graph"]))
    except InferenceServerException as err:
        return [failed_comparison(name, "-", "served", f"no answer: {err}")]
    outputs, classes = tuple(stored["graph"]), frozenset(record["labels"])
    same = Subject(name, outputs, classes, SAME_GRAPH)
    trained = Subject(name, outputs, classes, Tolerance(**record["tolerance"]))
    return [
        *compare(same, "served", [(stored["graph"], answer)]),
        *compare(trained, "trained", [(stored["trained"], answer)]),
    ]


def infer(
    client: triton.InferenceServerClient, name: str, inputs: Arrays, outputs: tuple[str, ...]
) -> Arrays:
    """Return a model's outputs by name.

    Raises:
        tritonclient.utils.InferenceServerException: no answer came.
    """
    answer = client.infer(
        name,
        [_input(key, value) for key, value in inputs.items()],
        outputs=[triton.InferRequestedOutput(key) for key in outputs],
        client_timeout=TIMEOUT_S,
    )
    return {key: answer.as_numpy(key) for key in outputs}


def _input(name: str, value: Array) -> triton.InferInput:
    tensor = triton.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
    tensor.set_data_from_numpy(value)
    return tensor


def _pipeline(
    client: triton.InferenceServerClient, name: str, stored: dict[str, Arrays], quantised: bool
) -> Comparison:
    expected = json.loads(stored["answer"]["json"].tobytes())
    requests = {key: value.tobytes() for key, value in stored["in"].items()}
    try:
        answers = (
            _streamed(client, name, requests) if name == "video" else _asked(client, name, requests)
        )
    except InferenceServerException as err:
        return failed_comparison(name, "-", "pipeline", f"no answer: {err}")
    tolerance = 0.1 if quantised else 0.005
    judged = Judgement(tolerance)
    judged.same(expected, answers, "")
    return Comparison(
        name,
        "answer",
        "pipeline",
        judged.numbers,
        judged.largest,
        np.nan,
        1.0,
        1.0,
        problem="; ".join(judged.problems[:3]),
    )


def _asked(
    client: triton.InferenceServerClient, name: str, requests: dict[str, bytes]
) -> list[Any]:
    inputs = {key: np.asarray([[data]], dtype=object) for key, data in requests.items()}
    answer = infer(client, name, inputs, ("answer",))
    return [json.loads(value) for value in answer["answer"].reshape(-1)]


def _streamed(
    client: triton.InferenceServerClient, name: str, requests: dict[str, bytes]
) -> list[Any]:
    inputs = [_input(key, np.asarray([data], dtype=object)) for key, data in requests.items()]
    arrived: Queue[Any] = Queue()
    client.start_stream(lambda result, error: arrived.put(error or result))
    try:
        client.async_stream_infer(name, inputs, enable_empty_final_response=True)
        return list(_messages(arrived))
    finally:
        client.stop_stream(cancel_requests=True)


def _messages(arrived: "Queue[Any]") -> Iterator[Any]:
    while True:
        item = arrived.get(timeout=TIMEOUT_S)
        if isinstance(item, InferenceServerException):
            raise item
        response = item.get_response()
        if response.parameters["triton_final_response"].bool_param:
            return
        yield json.loads(item.as_numpy("answer").reshape(-1)[0])


@dataclass
class Judgement:
    """Compares two JSON answers: numbers within a tolerance, all else equal.

    Lists of labels are compared by label, since two confidences may change places; what tells
    versions apart is left out.
    """

    tolerance: float
    largest: float = 0.0
    numbers: int = 0

    def __post_init__(self) -> None:
        self.problems: list[str] = []

    def same(self, expected: Any, found: Any, where: str) -> None:
        """Compare two values; what differs is added to `problems`."""
        if isinstance(expected, dict) and isinstance(found, dict):
            self._same_dict(expected, found, where)
        elif isinstance(expected, list) and isinstance(found, list):
            self._same_list(expected, found, where)
        elif _number(expected) and _number(found):
            self._close(float(expected), float(found), where)
        elif expected != found:
            self.problems.append(f"{where} is {found!r}, expected {expected!r}")

    def _same_dict(self, expected: dict[str, Any], found: dict[str, Any], where: str) -> None:
        for key in sorted((expected.keys() | found.keys()) - {"models"}):
            if key not in expected or key not in found:
                self.problems.append(f"{where}.{key} is {'new' if key in found else 'missing'}")
            else:
                self.same(expected[key], found[key], f"{where}.{key}")

    def _same_list(self, expected: list[Any], found: list[Any], where: str) -> None:
        if len(expected) != len(found):
            self.problems.append(f"{where} has {len(found)} entries, expected {len(expected)}")
            return
        if all(isinstance(item, dict) and "label" in item for item in [*expected, *found]):
            expected, found = _by_label(expected), _by_label(found)
        for index, (a, b) in enumerate(zip(expected, found, strict=True)):
            self.same(a, b, f"{where}[{index}]")

    def _close(self, expected: float, found: float, where: str) -> None:
        allowed = BOX_PX if ".box" in where else self.tolerance
        error = abs(expected - found)
        self.numbers += 1
        self.largest = max(self.largest, error)
        if error > allowed:
            self.problems.append(f"{where} is {found}, expected {expected}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _by_label(items: list[Any]) -> list[Any]:
    return sorted(items, key=lambda item: str(item["label"]))
