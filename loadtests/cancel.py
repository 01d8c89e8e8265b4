"""How soon a caller who goes away frees the `video` step, against the time the clip would take.

    python loadtests/cancel.py CLIP --rounds 5

Starts a real Triton with the `video` step alone and sends it the clip over gRPC and over HTTP: once
to its end, then in rounds that are cancelled at moments spread over that time. A step is free once
its counter of cancelled requests has moved; the recogniser and the decoder are dead then.
"""

import argparse
import asyncio
import json
import re
import statistics
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from emoserve_client import AsyncEmotionClient
from emoserve_server import EmbeddedTriton

ROOT = Path(__file__).resolve().parent.parent
COUNTER = re.compile(rb'^emoserve_cancelled_total\{model="video"\} (\S+)$', re.MULTILINE)
LOOK_S = 0.01
PATIENCE_S = 60.0
LATEST = 0.7  # of the clip's time: the next run may be faster


def cancelled(server: EmbeddedTriton) -> float:
    """Return how many requests the step has seen cancelled."""
    with urllib.request.urlopen(server.metrics_url) as answer:
        found = COUNTER.search(answer.read())
    return float(found[1]) if found else 0.0


async def total_s(url: str, clip: bytes) -> float:
    """Return how long the whole clip takes."""
    async with AsyncEmotionClient(url) as client:
        since = time.monotonic()
        await client.video(clip)
        return time.monotonic() - since


async def freed_s(server: EmbeddedTriton, url: str, clip: bytes, after_s: float) -> float:
    """Return how long after a cancel the step was free."""
    async with AsyncEmotionClient(url) as client:
        before = cancelled(server)
        asked = asyncio.create_task(client.video(clip))
        await asyncio.sleep(after_s)
        if asked.done():
            raise TimeoutError(f"the clip was done after {after_s:.1f} s: disturbed, run it again")
        since = time.monotonic()
        asked.cancel()
        await asyncio.wait([asked])
        while cancelled(server) == before:
            if time.monotonic() - since > PATIENCE_S:
                raise TimeoutError(f"not free {PATIENCE_S:.0f} s after a cancel at {after_s:.1f} s")
            await asyncio.sleep(LOOK_S)
        return time.monotonic() - since


async def measured(server: EmbeddedTriton, clip: bytes, rounds: int) -> None:
    """Print a line for each protocol."""
    for url in (server.grpc_url, server.http_url):
        whole_s = await total_s(url, clip)
        moments = [LATEST * whole_s * (index + 0.5) / rounds for index in range(rounds)]
        took = [await freed_s(server, url, clip, moment) for moment in moments]
        row = {
            "protocol": url.partition(":")[0],
            "total_s": whole_s,
            "cancel_median_s": statistics.median(took),
            "cancel_longest_s": max(took),
            "longest_to_total": max(took) / whole_s,
        }
        print(json.dumps({k: v if isinstance(v, str) else round(v, 3) for k, v in row.items()}))


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        epilog="example: python loadtests/cancel.py speech.wav --rounds 9",
    )
    parser.add_argument("clip", type=Path, help="sound or video; its words are recognised")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository")
    parser.add_argument("--rounds", type=int, default=5, help="cancelled requests per protocol")
    given = parser.parse_args(argv)
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with EmbeddedTriton(given.repository, models=["video"], **ports) as server:
        asyncio.run(measured(server, given.clip.read_bytes(), given.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
