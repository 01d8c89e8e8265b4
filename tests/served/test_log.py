"""One request id, and the caller's trace, through a step's log lines."""

import shutil
from pathlib import Path

import httpx

from emoserve_server import EmbeddedTriton

TRACE = "0af7651916cd43dd8448eb211c80319c"


def ask(triton: EmbeddedTriton, request_id: str, text: str, **headers: str) -> int:
    sent = {
        "id": request_id,
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}],
    }
    url = f"{triton.http_url}/v2/models/text/infer"
    return httpx.post(url, json=sent, headers=headers).status_code


def test_log_lines_carry_the_request_id_and_the_trace(repository: Path, tmp_path: Path) -> None:
    for name in ("text", "text_net", "text_tokens"):
        shutil.copytree(repository / name, tmp_path / "models" / name)
    log = tmp_path / "triton.log"
    tracing = ["mode=opentelemetry", "rate=1", "level=TIMESTAMPS"]
    tracing.append("opentelemetry,url=http://127.0.0.1:9/v1/traces")  # nobody listens: no matter
    flags = [word for setting in tracing for word in ("--trace-config", setting)]
    with EmbeddedTriton(
        tmp_path / "models",
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        log_file=log,
        extra_args=["--log-verbose=1", *flags],
    ) as triton:
        parent = f"00-{TRACE}-b7ad6b7169203331-01"
        assert ask(triton, "request-7", "hello", traceparent=parent) == 200
        assert ask(triton, "request-8", "") == 400
        assert ask(triton, "9 event=forged\nevent=forged", "hello") == 200
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if "_log.py" in line]
    # The first ones are the warm-up's, which has no request id.
    answered, rejected, hostile = lines[-3:]
    assert "event=answered model=text request_id=request-7" in answered
    assert f"traceparent=00-{TRACE}-" in answered
    assert "event=rejected model=text request_id=request-8" in rejected
    assert "reason=empty" in rejected
    assert "event=answered" in hostile
    assert 'request_id=\\"9 event=forged' in hostile
