"""A large request is made once: attempts do not add up in memory."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

MIB = 1 << 20
PAYLOAD_MIB = 200
CALLER = textwrap.dedent("""
    import json, resource, sys
    import numpy as np
    from emoserve_client import EmotionClient, Retry

    url, failures, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    outcomes = []
    with EmotionClient(url, timeout_s=120, retry=Retry(attempts=6, first_s=0.01)) as client:
        model = client.model("faulty")
        model.infer(fault=["warm"], payload=np.zeros(1024, np.uint8))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        payload = np.ones(size, np.uint8)
        reply = model.infer(fault=["unavailable"], failures=[failures], payload=payload)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"answer": reply["answer"][0].decode(), "mib": (peak - before) / 1024}))
""")


def peak_mib(url: str, failures: int, size: int, folder: Path) -> float:
    """What a call of `size` bytes that fails `failures` times first adds to a process's peak."""
    counter = folder / f"failures-{failures}"
    counter.write_text(str(failures))
    ended = subprocess.run(
        [sys.executable, "-c", CALLER, url, str(counter), str(size)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert counter.read_text() == "-1"
    found = json.loads(ended.stdout)
    assert found["answer"] == "unavailable"
    return float(found["mib"])


@pytest.mark.slow
def test_five_retries_take_no_more_memory_than_none(
    serve: Any, protocol: str, tmp_path: Path
) -> None:
    server = serve(models=["faulty"])
    url = server.grpc_url if protocol == "grpc" else server.http_url
    once = peak_mib(url, 0, PAYLOAD_MIB * MIB, tmp_path)
    again = peak_mib(url, 5, PAYLOAD_MIB * MIB, tmp_path)
    print(f"\n{protocol}: payload {PAYLOAD_MIB} MiB; peak +{once:.0f} MiB, 5 retries +{again:.0f}")
    # The array itself; over gRPC the message and the copy that gRPC sends from.
    copies = 3 if protocol == "grpc" else 1
    assert once < (copies + 0.3) * PAYLOAD_MIB
    assert again < once + 0.15 * PAYLOAD_MIB
