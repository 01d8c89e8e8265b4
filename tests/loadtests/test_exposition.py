"""The run's own metrics."""

import numpy as np
import prometheus_client

from emoserve_loadtests.exposition import Exposition
from emoserve_loadtests.rows import ROW


def test_requests_and_latencies_are_counted() -> None:
    rows = np.zeros(3, ROW)
    rows["scheduled_s"], rows["sent_s"], rows["ended_s"] = 10, 10.01, [10.2, 10.4, 12]
    rows["pipeline"], rows["modality"] = "face", "face"
    rows["error"][2] = b"Deadline"
    exposition = Exposition(port=0)
    exposition.add(rows)
    text = prometheus_client.generate_latest(exposition.registry).decode()
    assert (
        'emoserve_load_requests_total{error="Deadline",modality="face",pipeline="face"} 1.0' in text
    )
    assert 'emoserve_load_latency_seconds_count{modality="face",pipeline="face"} 2.0' in text
    assert "emoserve_load_sent_late_seconds_count 3.0" in text
