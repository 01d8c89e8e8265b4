"""Callers who go away in the middle of an utterance: the recogniser is stopped, not waited for."""

import asyncio
import os
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from emoserve_client import AsyncEmotionClient
from emoserve_export import golden_media
from emoserve_server import EmbeddedTriton

PATIENCE_S = 60.0  # until a busy machine has come round to it; nothing here is timed
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
SPEECH = golden_media.wav(golden_media.voice(30.0))  # three utterances, seconds of work each


def recognisers(server: EmbeddedTriton) -> dict[int, float]:
    """Return the recognisers below a server: process id -> seconds of CPU that each has used."""
    parents, found = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        parents[int(folder.name)] = int(fields[1])
        if b"recogniser_worker" in command and fields[0] != "Z":
            found[int(folder.name)] = (int(fields[11]) + int(fields[12])) * TICK_S

    def below(pid: int) -> bool:
        return pid == server.pid or (pid in parents and below(parents[pid]))

    return {pid: used_s for pid, used_s in found.items() if below(pid)}


async def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.02)


async def idle(server: EmbeddedTriton) -> dict[int, float]:
    """Return the recognisers once none of them works: a new one loads its models first."""
    end = time.monotonic() + PATIENCE_S
    before, now = {}, recognisers(server)
    while before != now:
        assert time.monotonic() < end, "they never rest"
        await asyncio.sleep(0.5)
        before, now = now, recognisers(server)
    return now


def cancelled_total(server: EmbeddedTriton, model: str) -> float:
    with urllib.request.urlopen(server.metrics_url) as answer:
        lines = answer.read().decode().splitlines()
    name = f'emoserve_cancelled_total{{model="{model}"}}'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest.mark.parametrize(
    ("protocol", "model"),
    # A plain HTTP inference writes nothing before its end: Triton cannot see that its caller left.
    [("grpc", "video"), ("http", "video"), ("grpc", "transcribe")],
)
async def test_who_goes_away_stops_the_recogniser(
    triton: EmbeddedTriton, protocol: str, model: str
) -> None:
    url = triton.grpc_url if protocol == "grpc" else triton.http_url
    async with AsyncEmotionClient(url) as client:
        before, counted = await idle(triton), cancelled_total(triton, model)
        asked = asyncio.create_task(getattr(client, model)(SPEECH))

        def busy() -> set[int]:
            now = recognisers(triton)
            return {pid for pid in before if now.get(pid, 0.0) > before[pid] + 0.3}

        await until(busy)
        working = busy()  # `video` may have several at work on its utterances
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await until(lambda: not working & recognisers(triton).keys())
        await until(lambda: cancelled_total(triton, model) == counted + 1)
        assert len(await idle(triton)) == len(before)  # a new one stands ready
