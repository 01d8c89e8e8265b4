"""A queue with a bound refuses what is too much, and drops what nobody waits for any more."""

import asyncio
import re
import shutil
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from emoserve_client import AsyncEmotionClient, EmotionClient, Retry
from emoserve_client.errors import DeadlineError, EmoserveError, OverloadedError
from emoserve_export.configs.generate import config_text, step_config
from emoserve_export.configs.steps import TEXT
from emoserve_server import EmbeddedTriton

CALLERS = 64
LONG = "so very happy today " * 60  # some 50 ms of work


@pytest.fixture(scope="module")
def bounded(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTriton]:
    """`text` as `emoserve export --max-queue-size 8` configures it."""
    folder = tmp_path_factory.mktemp("bounded")
    shutil.copytree(repository / "text", folder / "text")
    for name in ("text_net", "text_tokens"):
        (folder / name).symlink_to(repository / name)
    (folder / "text" / "config.pbtxt").write_text(config_text(step_config(TEXT, "cpu", 8)))
    with EmbeddedTriton(
        folder, http_port=0, grpc_port=0, metrics_port=0, models=["text"]
    ) as triton:
        yield triton


async def _flood(url: str, timeout_s: float, callers: int = CALLERS) -> Counter[str]:
    outcomes: Counter[str] = Counter()

    async def ask(client: AsyncEmotionClient) -> None:
        try:
            await client.text(LONG)
            outcomes["answered"] += 1
        except EmoserveError as error:
            outcomes[type(error).__name__] += 1

    async with AsyncEmotionClient(url, timeout_s=timeout_s, retry=Retry(attempts=1)) as client:
        await asyncio.gather(*(ask(client) for _ in range(callers)))
    return outcomes


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_what_is_too_much_is_refused_and_the_rest_answered(
    bounded: EmbeddedTriton, scheme: str
) -> None:
    url = bounded.grpc_url if scheme == "grpc" else bounded.http_url
    outcomes = asyncio.run(_flood(url, 60))
    assert outcomes["answered"] >= 8
    assert outcomes[OverloadedError.__name__] > 0
    assert sum(outcomes.values()) == outcomes["answered"] + outcomes[OverloadedError.__name__]


def _executed(client: EmotionClient) -> int:
    ((model,),) = client.statistics("text").values()
    return model.inference_count


@contextmanager
def _standing_still(triton: EmbeddedTriton) -> Iterator[None]:
    """Stop the processes that execute `text`."""
    stubs = [
        child
        for child in psutil.Process(triton.pid).children()
        if any(part.startswith("text_") for part in child.cmdline())
    ]
    assert len(stubs) == 2
    for stub in stubs:
        stub.suspend()
    try:
        yield
    finally:
        for stub in stubs:
            stub.resume()


def _waiting(triton: EmbeddedTriton) -> int:
    with urllib.request.urlopen(triton.metrics_url, timeout=5) as answer:
        found = re.search(
            r'nv_inference_pending_request_count\{model="text".*\} (\d+)', answer.read().decode()
        )
    assert found is not None
    return int(found[1])


def test_what_waited_longer_than_its_caller_is_not_worked_off(bounded: EmbeddedTriton) -> None:
    """Over HTTP Triton does not see that a caller left; the time limit that came along says it."""
    url = bounded.http_url
    impatient, patient = 4, 0
    with ThreadPoolExecutor() as callers, EmotionClient(url, timeout_s=60) as client:
        before = _executed(client)
        answers = []
        with _standing_still(bounded):
            while not _waiting(bounded):  # until both processes have something in hand
                assert patient < 8
                answers.append(callers.submit(client.text, "no hurry"))
                patient += 1
                time.sleep(0.2)
            outcomes = asyncio.run(_flood(url, 0.3, impatient))
        assert all(answer.result().emotions for answer in answers)
        executed = _executed(client) - before
    assert outcomes == {DeadlineError.__name__: impatient}
    assert executed == patient
