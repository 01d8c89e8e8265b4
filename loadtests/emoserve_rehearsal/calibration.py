"""What one pod of the rehearsal holds, measured first: the plan follows from it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from emoserve_client import EmotionClient
from emoserve_loadtests.media import read_corpus
from emoserve_rehearsal.callers import Locust, World
from emoserve_rehearsal.pods import READY, Pod
from emoserve_rehearsal.record import Rows
from emoserve_rehearsal.timing import CORES, FACTOR, PIPELINE
from emoserve_server.scaling import Capacity, Pipeline, Point

SLO_P95_S = 0.25
_SHARES = (0.2, 0.5, 0.65, 0.8)  # of the rate at which one caller keeps the pod busy
_STAGE_S, _SETTLE_S = 11.0, 2.0
_PROBE_S = 5.0


def calibrated(pod: Pod, world: World, folder: Path) -> Capacity:
    """Return the pod's capacity, in real requests per second and seconds.

    Its start-up is in cluster time, which `emoserve_server.scaling` plans in.
    """
    while pod.state != READY:
        time.sleep(0.05)
    startup_s = (pod.ready_s - pod.born_s) * FACTOR
    limit = _limit(pod)
    world = world.with_stages(
        [(_STAGE_S, share * limit, share * limit) for share in _SHARES], folder
    )
    world.write_endpoints([pod.host])
    with Locust(world) as locust:
        locust.join()
    rows = world.read_rows()
    points = tuple(_point(rows, index, locust.began_s) for index in range(len(_SHARES)))
    measured = f"by the rehearsal: {PIPELINE} alone, pods of {CORES:g} cores, real sentences"
    return Capacity(measured, startup_s, (Pipeline(PIPELINE, SLO_P95_S, points),))


def _limit(pod: Pod) -> float:
    """The rate of one caller that sends as soon as it has its answer, after a while."""
    items = read_corpus(None)
    texts = [items.items[index].inputs["text"] for index in items.of(PIPELINE)]
    with EmotionClient(f"grpc://{pod.host}:{pod.ports.grpc}") as client:
        client.text(texts[0])
        began, count = time.monotonic(), 0
        while time.monotonic() - began < _PROBE_S:
            client.text(texts[count % len(texts)])
            count += 1
        return count / (time.monotonic() - began)


def _point(rows: Rows, index: int, began_s: float) -> Point:
    begin = began_s + index * _STAGE_S + _SETTLE_S
    inside = (rows.due_s >= begin) & (rows.due_s < begin + _STAGE_S - _SETTLE_S)
    took = rows.took_s[inside]
    failures = sum(1 for error, counts in zip(rows.errors, inside, strict=True) if counts and error)
    rate = len(took) / (_STAGE_S - _SETTLE_S)
    return Point(rate, float(took.mean()), float(np.quantile(took, 0.95)), failures)
