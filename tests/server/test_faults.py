"""A step that breaks: its other requests are answered, and the fault is counted."""

import asyncio
import json
import re
import time
from typing import Any

import httpx
import numpy as np
import pytest

from emoserve_client import AsyncEmotionClient, EmoserveError, EmotionClient
from emoserve_server import EmbeddedTriton

MODEL = """
import time

from emoserve_ensemble.steps._step import Step, column, rows_of


class TritonPythonModel(Step):
    def load(self, config):
        if config.concurrency > 1:
            self.hands = config.hands()

    def finalize(self):
        pass

    def decode(self, request):
        return [row[0] for row in rows_of(request, "text")]

    def predict(self, members):
        if b"break" in members:
            raise ZeroDivisionError("on purpose")
        time.sleep(0.1)  # those who come meanwhile share the next batch
        return members

    def encode(self, members):
        if b"late" in members:
            raise ZeroDivisionError("too late")
        return {"answer": lambda: column([b'{"echo": "' + each + b'"}' for each in members])}
"""

TENSORS = """
input [{ name: "text" data_type: TYPE_STRING dims: [1] }]
output [{ name: "answer" data_type: TYPE_STRING dims: [1] }]
dynamic_batching { }
parameters { key: "networks" value { string_value: "in_process" } }
parameters { key: "concurrency" value { string_value: "CONCURRENCY" } }
"""


@pytest.fixture(scope="module")
def breaking(tmp_path_factory: pytest.TempPathFactory, repository_at: Any) -> Any:
    """A server with a step that breaks on purpose, with hands and without."""
    repository = repository_at(tmp_path_factory.mktemp("repository"))
    for name, concurrency in (("alone", "1"), ("hands", "2")):
        repository.add_python(name, MODEL, more=TENSORS.replace("CONCURRENCY", concurrency))
    with EmbeddedTriton(repository.path, http_port=0, grpc_port=0, metrics_port=0) as triton:
        yield triton


def asked(client: EmotionClient, model: str, *texts: bytes) -> list[str]:
    column = np.array(texts, object).reshape(-1, 1)
    answer = client.model(model).infer(text=column)["answer"]
    return [json.loads(row[0])["echo"] for row in answer]


def faults(triton: EmbeddedTriton) -> dict[str, float]:
    time.sleep(2)  # steps tell Triton once a second what they counted
    text = httpx.get(triton.metrics_url).text
    found = re.findall(r'emoserve_failed_total\{model="(\w+)"\} (\S+)', text)
    return {model: float(value) for model, value in found}


@pytest.mark.parametrize("model", ["alone", "hands"])
def test_a_fault_is_counted_and_costs_only_its_request(
    breaking: EmbeddedTriton, model: str
) -> None:
    before = faults(breaking)
    assert before[model] == 0  # there before the first one, or a rate would not see it
    with EmotionClient(breaking.grpc_url) as client:
        with pytest.raises(EmoserveError, match="internal error, ZeroDivisionError: on purpose"):
            asked(client, model, b"fine", b"break")
        assert asked(client, model, b"fine", b"too") == ["fine", "too"]
    assert faults(breaking)[model] == 1


@pytest.mark.parametrize("model", ["alone", "hands"])
async def test_so_is_one_while_an_answer_is_written(breaking: EmbeddedTriton, model: str) -> None:
    before = faults(breaking)[model]
    texts = [b"%d" % number for number in range(8)]
    async with AsyncEmotionClient(breaking.grpc_url) as client:
        served = client.model(model)
        got = await asyncio.gather(
            *(served.infer(text=np.array([[text]], object)) for text in [*texts, b"late", *texts]),
            return_exceptions=True,
        )
    (broken,) = [each for each in got if isinstance(each, BaseException)]
    assert "internal error, ZeroDivisionError: too late" in str(broken)
    good = [json.loads(each["answer"][0][0])["echo"] for each in got if each is not broken]
    assert sorted(good) == sorted(2 * [text.decode() for text in texts])
    assert faults(breaking)[model] == before + 1
