"""What the generator itself costs: h2load against a model that does nothing.

    python loadtests/generator_cost.py --seconds 3

Prints, for HTTP and for gRPC, how many empty answers a second the server and the generator reach
together, and the generator's processor time per answer: the share of it in a measurement at a
certain rate is that time x the rate / cores.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from emoserve_peers.generator import generate, require_generator
from emoserve_peers.messages import PROTOCOLS
from emoserve_server import EmbeddedTriton

# `face` as callers know it, with nothing inside.
CONFIG = """
name: "face"
backend: "python"
max_batch_size: 32
input { name: "image" data_type: TYPE_STRING dims: 1 }
output { name: "answer" data_type: TYPE_STRING dims: 1 }
instance_group { count: 2 kind: KIND_CPU }
dynamic_batching { }
"""
MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils

ANSWER = np.array([[b"{}"]], object)


class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("answer", ANSWER)]) for _ in requests]
"""
BODY = bytes(2000)  # as a tiny picture


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32])
    given = parser.parse_args(argv)
    require_generator()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "face"
        (model / "1").mkdir(parents=True)
        (model / "config.pbtxt").write_text(CONFIG)
        (model / "1" / "model.py").write_text(MODEL)
        with EmbeddedTriton(folder, http_port=0, grpc_port=0, metrics_port=0) as triton:
            addresses = {
                "triton-http": triton.http_url,
                "triton-grpc": triton.grpc_url.replace("grpc", "http", 1),
            }
            for protocol, address in addresses.items():
                message = PROTOCOLS[protocol].write("face", BODY)
                for callers in given.callers:
                    load = generate(address, [message], callers, 0.5, given.seconds)
                    print(
                        f"{protocol:12} {callers:3} callers {load.rate_hz:7.0f} answers/s, "
                        f"generator {load.generator_s * 1e6:4.0f} us an answer, "
                        f"{load.errors} errors"
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
