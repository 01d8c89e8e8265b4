"""The Deployment's own flags on a real Triton: it starts with them, and they do what they say."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from emoserve_server import EmbeddedTriton

# In the image's Triton 2.71, not yet in the wheel's 2.51; docs/customization_guide/deploy.md and
# docs/protocol/extension_shared_memory.md of Triton's repository have them.
NEWER = {"--allow-client-shm", "--grpc-max-response-pool-size", "--http-max-input-size"}
ECHO = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("y", request.inputs()[0].as_numpy())])
            for request in requests
        ]
"""
CONFIG = """
backend: "python"
input [{ name: "x" data_type: TYPE_FP32 dims: [2] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [2] }]
instance_group [{ kind: KIND_CPU }]
"""


@pytest.fixture(scope="module")
def triton(tmp_path_factory, objects):
    """A Triton with the flags of the overlay `cpu`."""
    repository = tmp_path_factory.mktemp("models")
    (repository / "video" / "1").mkdir(parents=True)
    (repository / "video/config.pbtxt").write_text(CONFIG)
    (repository / "video/1/model.py").write_text(ECHO)
    given = objects("cpu").triton["args"]
    flags = [flag for flag in given if flag.partition("=")[0] not in NEWER]
    flags = [flag.replace("$(POD_UID)", "5f0c") for flag in flags if "model-repository" not in flag]
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with EmbeddedTriton(repository, extra_args=flags, **ports) as server:
        yield server


def status(url: str, method: str = "GET", body: bytes | None = None) -> int:
    try:
        request = urllib.request.Request(url, data=body, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_probes_find_what_they_ask_for(triton, objects):
    container = objects("cpu").triton
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert status(triton.http_url + container[probe]["httpGet"]["path"]) == 200


def test_shared_memory_tracing_and_log_settings_are_closed(triton):
    for path in ("systemsharedmemory/status", "trace/setting", "logging"):
        assert status(f"{triton.http_url}/v2/{path}") == 403
    with triton_grpc.InferenceServerClient(triton.grpc_url.removeprefix("grpc://")) as client:
        for ask in (
            client.get_system_shared_memory_status,
            client.get_trace_settings,
            client.get_log_settings,
        ):
            with pytest.raises(InferenceServerException, match="restricted"):
                ask()


def test_no_model_can_be_brought_or_taken(triton):
    for order in ("load", "unload"):
        url = f"{triton.http_url}/v2/repository/models/video/{order}"
        assert status(url, "POST", b"{}") >= 400
    assert status(f"{triton.http_url}/v2/models/video/ready") == 200


def test_metrics_are_there(triton):
    with urllib.request.urlopen(triton.metrics_url, timeout=5) as answer:
        exposed = answer.read().decode()
    for metric in (
        "nv_inference_pending_request_count",
        "nv_inference_request_success",
        "nv_inference_compute_infer_duration_us",
    ):
        assert f'{metric}{{model="video"' in exposed
