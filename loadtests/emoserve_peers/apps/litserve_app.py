"""LitServe: a worker per core, ZeroMQ queues, raw bodies; batches where `BENCH_BATCH` is set.

https://lightning.ai/docs/litserve/features/batching, .../features/autoscaling
"""

import os
import sys
from typing import Annotated, Any

import litserve
from fastapi import Body, Response

from emoserve_peers.systems import BATCH, CORES
from emoserve_peers.work import work_of_environment

Raw = Annotated[bytes, Body(media_type="application/octet-stream")]


class OneByOne(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.work = work_of_environment()

    def decode_request(self, request: Raw) -> bytes:
        return request

    def predict(self, bodies: Any) -> Any:
        return self.work([bodies])[0]

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="application/json")


class Batched(OneByOne):
    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return inputs

    def predict(self, bodies: Any) -> Any:
        return self.work(bodies)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output


def main(port: str) -> None:
    api = (
        Batched(api_path="/analyze", max_batch_size=BATCH.items, batch_timeout=BATCH.wait_s)
        if os.environ.get("BENCH_BATCH")
        else OneByOne(api_path="/analyze")
    )
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=CORES, fast_queue=True)
    server.run(host="127.0.0.1", port=int(port), log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
