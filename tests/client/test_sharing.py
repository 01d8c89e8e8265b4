"""One client shared by threads, tasks and forked children."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from emoserve_client import AsyncEmotionClient, EmotionClient

FORKS = textwrap.dedent("""
    import multiprocessing, sys, warnings
    from emoserve_client import EmotionClient

    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork

    def ask(client, word):
        return client.model("faulty").infer(fault=[word])["answer"][0]

    def child(client, number, answers):
        answers.put(ask(client, f"child {number}").decode())

    with EmotionClient(sys.argv[1]) as client:
        assert ask(client, "before") == b"before"
        context = multiprocessing.get_context("fork")
        answers = context.Queue()
        children = [context.Process(target=child, args=(client, n, answers)) for n in range(3)]
        for one in children:
            one.start()
        assert ask(client, "meanwhile") == b"meanwhile"
        found = sorted(answers.get(timeout=20) for _ in children)
        for one in children:
            one.join(20)
        assert ask(client, "after") == b"after"
        print(found, [one.exitcode for one in children])
""")


def url_of(server: Any, protocol: str) -> str:
    url: str = server.grpc_url if protocol == "grpc" else server.http_url
    return url


def test_threads(small: Any, protocol: str) -> None:
    with EmotionClient(url_of(small, protocol)) as client, ThreadPoolExecutor(8) as pool:
        model = client.model("faulty")

        def ask(number: int) -> bytes:
            answer: bytes = model.infer(fault=[str(number)], wait_s=[0.002])["answer"][0]
            return answer

        answers = list(pool.map(ask, range(200)))
    assert answers == [str(number).encode() for number in range(200)]


async def test_tasks(small: Any, protocol: str) -> None:
    async with AsyncEmotionClient(url_of(small, protocol)) as client:
        model = client.model("faulty")
        replies = await asyncio.gather(
            *(model.infer(fault=[str(number)], wait_s=[0.002]) for number in range(100))
        )
    assert [reply["answer"][0] for reply in replies] == [str(n).encode() for n in range(100)]


async def test_a_cancelled_task_cancels_its_request(small: Any, protocol: str) -> None:
    async with AsyncEmotionClient(url_of(small, protocol)) as client:
        model = client.model("faulty")
        await model.info()
        task = asyncio.ensure_future(model.infer(fault=["x"], wait_s=[5.0]))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await model.infer(fault=["next"]))["answer"][0] == b"next"


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork()")
def test_forked_children(small: Any, protocol: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORKS, url_of(small, protocol)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.stdout.strip() == "['child 0', 'child 1', 'child 2'] [0, 0, 0]"


def test_a_client_cannot_be_pickled() -> None:
    import pickle

    with pytest.raises(TypeError, match="make one in each process"):
        pickle.dumps(EmotionClient())


def test_a_closed_client_opens_again(small: Any, protocol: str) -> None:
    client = EmotionClient(url_of(small, protocol))
    assert client.is_ready()
    client.close()
    assert client.is_ready()
    client.close()
