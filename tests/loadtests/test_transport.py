"""The load generator's HTTP says what the client's says: the same answers, the same errors."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from emoserve_client import EmotionClient, Retry
from emoserve_client.errors import (
    DeadlineError,
    EmoserveError,
    InputError,
    ModelNotFoundError,
    NoAnswerError,
    UnreachableError,
)
from emoserve_loadtests.calls import connect
from emoserve_loadtests.transport import GeventHttp
from emoserve_server import EmbeddedTriton

CALLS: dict[str, Callable[[EmotionClient], object]] = {
    "text": lambda client: client.text("What a wonderful day!").emotions,
    "health": lambda client: client.model("text_net").is_ready(),
    "a clip": lambda client: client.video(b"no clip").summary,
    "no picture": lambda client: client.face(b"\xff\xd8 no picture"),
    "no such model": lambda client: client.model("nothing").infer(x=[1.0]),
}


def _outcome(client: EmotionClient, call: Callable[[EmotionClient], object]) -> object:
    try:
        return call(client)
    except EmoserveError as error:
        return type(error), error.args


@pytest.mark.parametrize("name", CALLS)
def test_it_says_what_the_client_says(triton: EmbeddedTriton, name: str) -> None:
    once = Retry(attempts=1)
    with (
        EmotionClient(triton.http_url, retry=once, hooks=()) as usual,
        connect(triton.http_url, 20) as lean,
    ):
        wanted, got = _outcome(usual, CALLS[name]), _outcome(lean, CALLS[name])
    assert got == wanted
    if name in ("no picture", "no such model"):
        assert isinstance(got, tuple)
        assert got[0] in (InputError, ModelNotFoundError)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port where somebody listens, and nobody speaks HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def _url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_silent_server_is_a_missed_deadline(listener: socket.socket) -> None:
    with connect(_url(listener), 0.3) as client, pytest.raises(DeadlineError):
        client.text("hello")


def test_a_server_that_hangs_up_is_no_answer(listener: socket.socket) -> None:
    def hang_up() -> None:
        connection, _ = listener.accept()
        connection.recv(100)
        connection.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    with connect(_url(listener), 5) as client, pytest.raises(NoAnswerError) as caught:
        client.text("hello")
    thread.join()
    assert not isinstance(caught.value, UnreachableError | DeadlineError)


def test_nobody_there_is_unreachable(listener: socket.socket) -> None:
    url = _url(listener)
    listener.close()
    with connect(url, 5) as client, pytest.raises(UnreachableError):
        client.text("hello")


def test_a_name_that_nobody_has_is_unreachable() -> None:
    with connect("http://nobody.invalid:8000", 5) as client, pytest.raises(UnreachableError):
        client.text("hello")


def test_only_plain_http_is_carried_by_it(triton: EmbeddedTriton) -> None:
    carried = {}
    for url in (triton.http_url, triton.grpc_url):
        with connect(url, 5) as client:
            client.text("hello")
            carried[url] = list(client._driver._transports._made.values())
    assert [isinstance(made, GeventHttp) for (made,) in carried.values()] == [True, False]
