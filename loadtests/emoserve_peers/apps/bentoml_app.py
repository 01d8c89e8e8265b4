"""BentoML: a worker per core, raw bodies as files; batches where `BENCH_BATCH` is set.

https://docs.bentoml.com/en/latest/build-with-bentoml/iotypes.html, .../parallelize-requests.html,
.../get-started/adaptive-batching.html
"""

import os
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from emoserve_peers.systems import BATCH, CORES
from emoserve_peers.work import work_of_environment

Answer = Annotated[bytes, ContentType("application/json")]
SETTINGS = {"workers": CORES, "logging": {"access": {"enabled": False}}}


@bentoml.service(name="analyze", **SETTINGS)
class OneByOne:
    def __init__(self) -> None:
        self.work = work_of_environment()

    @bentoml.api(route="/analyze")
    def analyze(self, body: Annotated[Path, ContentType("application/octet-stream")], /) -> Answer:
        return self.work([body.read_bytes()])[0]


@bentoml.service(name="analyze", **SETTINGS)
class Batched:
    def __init__(self) -> None:
        self.work = work_of_environment()

    @bentoml.api(
        route="/analyze",
        batchable=True,
        max_batch_size=BATCH.items,
        max_latency_ms=BATCH.latency_ms,
    )
    def analyze(self, request: list[Path]) -> list[str]:
        return [answer.decode() for answer in self.work([body.read_bytes() for body in request])]


Service = Batched if os.environ.get("BENCH_BATCH") else OneByOne
