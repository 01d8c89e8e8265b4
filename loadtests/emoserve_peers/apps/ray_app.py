"""Ray Serve: a replica per core, throughput options on; batches where `BENCH_BATCH` is set.

https://docs.ray.io/en/latest/serve/advanced-guides/performance.html, .../dyn-req-batch.html
"""

import os
import signal
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from emoserve_peers.systems import BATCH, CORES
from emoserve_peers.work import work_of_environment

OPTIONS = {
    "num_replicas": CORES,
    "ray_actor_options": {"num_cpus": 1},
    "max_ongoing_requests": BATCH.items,
}


@serve.deployment(**OPTIONS)
class OneByOne:
    def __init__(self) -> None:
        self.work = work_of_environment()

    async def __call__(self, request: Request) -> Response:
        return Response(self.work([await request.body()])[0], media_type="application/json")


@serve.deployment(**OPTIONS)
class Batched:
    def __init__(self) -> None:
        self.work = work_of_environment()

    @serve.batch(max_batch_size=BATCH.items, batch_wait_timeout_s=BATCH.wait_s)
    async def analyze(self, bodies: list[bytes]) -> list[bytes]:
        return self.work(bodies)

    async def __call__(self, request: Request) -> Response:
        return Response(await self.analyze(await request.body()), media_type="application/json")


def main(port: str) -> None:
    ray.init(
        num_cpus=CORES,
        include_dashboard=False,
        logging_level="WARNING",
        _node_ip_address="127.0.0.1",
    )
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(port)},
        logging_config={"enable_access_log": False},
    )
    chosen: Any = Batched if os.environ.get("BENCH_BATCH") else OneByOne
    serve.run(chosen.bind(), route_prefix="/analyze", logging_config={"enable_access_log": False})
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
