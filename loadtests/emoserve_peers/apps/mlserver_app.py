"""MLServer: a runtime of ours in parallel workers; its adaptive batching hands over several items.

https://docs.seldon.ai/mlserver/user-guide/custom, .../parallel-inference, .../adaptive-batching
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from emoserve_peers.systems import BATCH, CORES
from emoserve_peers.work import work_of_environment


class Pipeline(MLModel):
    """One pipeline: BYTES [items, 1] in, BYTES [items, 1] of JSON out."""

    async def load(self) -> bool:
        self.work = work_of_environment()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (tensor,) = payload.inputs
        answers = self.work([_bytes(item) for item in tensor.data.root])
        output = StringCodec.encode_output("answer", [answer.decode() for answer in answers])
        return InferenceResponse(model_name=self.name, outputs=[output])


def _bytes(item: Any) -> bytes:
    """Return an item's bytes: raw over gRPC, base64 in JSON."""
    return item if isinstance(item, bytes) else base64.b64decode(item)


def main(http_port: str, grpc_port: str) -> None:
    """Write the settings that MLServer reads from a folder, and start it."""
    batching = {"max_batch_size": BATCH.items, "max_batch_time": BATCH.wait_s}
    model = {
        "name": os.environ["BENCH_PIPELINE"],
        "implementation": "emoserve_peers.apps.mlserver_app.Pipeline",
        **(batching if os.environ.get("BENCH_BATCH") else {}),
    }
    settings = {
        "debug": False,  # its access log
        "host": "127.0.0.1",
        "http_port": int(http_port),
        "grpc_port": int(grpc_port),
        "metrics_endpoint": None,
        "parallel_workers": CORES,
    }
    with tempfile.TemporaryDirectory(prefix="emoserve-bench-") as folder:
        (Path(folder) / "settings.json").write_text(json.dumps(settings))
        (Path(folder) / "model-settings.json").write_text(json.dumps(model))
        subprocess.run([Path(sys.executable).with_name("mlserver"), "start", folder], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
