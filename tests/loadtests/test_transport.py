"""The load generator's wire says what the client's says: the same answers, the same errors."""

import socket
import threading
from collections.abc import Callable, Iterator

import gevent
import pytest

from emoserve_client import EmotionClient, Retry
from emoserve_client._endpoint import targets
from emoserve_client._transport import Connection
from emoserve_client.errors import (
    DeadlineError,
    EmoserveError,
    InputError,
    ModelNotFoundError,
    NoAnswerError,
    UnreachableError,
)
from emoserve_loadtests.calls import connect
from emoserve_loadtests.transport import CurlGrpc, CurlHttp, GeventNetwork
from emoserve_server import EmbeddedTriton

schemes = pytest.mark.parametrize("scheme", ["http", "grpc"])
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
@schemes
def test_it_says_what_the_client_says(triton: EmbeddedTriton, name: str, scheme: str) -> None:
    once, url = Retry(attempts=1), triton.http_url if scheme == "http" else triton.grpc_url
    with EmotionClient(url, retry=once, hooks=()) as usual, connect(url, 20) as lean:
        wanted, got = _outcome(usual, CALLS[name]), _outcome(lean, CALLS[name])
    assert got == wanted
    if name in ("no picture", "no such model"):
        assert isinstance(got, tuple)
        assert got[0] in (InputError, ModelNotFoundError)


@schemes
def test_many_greenlets_have_their_own_answers(triton: EmbeddedTriton, scheme: str) -> None:
    url = triton.http_url if scheme == "http" else triton.grpc_url
    texts = [f"{word} {'so ' * number}much" for number in range(12) for word in ("hated", "loved")]
    with EmotionClient(url, hooks=()) as usual, connect(url, 20) as lean:
        wanted = [usual.text(text).emotions for text in texts]
        asked = [gevent.spawn(lean.text, text) for text in texts]
        gevent.joinall(asked, raise_error=True)
        for given, one in zip(wanted, asked, strict=True):
            # A batch rounds otherwise than a text alone.
            for score in given:
                assert one.value.emotions.of(score.label) == pytest.approx(
                    score.confidence, abs=0.02
                )


@schemes
def test_a_greenlet_that_is_killed_leaves_the_others(triton: EmbeddedTriton, scheme: str) -> None:
    url = triton.http_url if scheme == "http" else triton.grpc_url
    with connect(url, 20) as client:
        doomed, other = gevent.spawn(client.text, "one"), gevent.spawn(client.text, "two")
        gevent.sleep(0)
        doomed.kill()
        other.join()
        assert other.value.emotions
        assert client.text("three").emotions


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port where somebody listens, and nobody speaks HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def _url(listener: socket.socket, scheme: str) -> str:
    return f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"


@schemes
def test_a_silent_server_is_a_missed_deadline(listener: socket.socket, scheme: str) -> None:
    with connect(_url(listener, scheme), 0.3) as client, pytest.raises(DeadlineError):
        client.text("hello")


@schemes
@pytest.mark.parametrize("said", [b"", b"nobody speaks like this\r\n\r\n"])
def test_a_server_that_hangs_up_is_no_answer(
    listener: socket.socket, scheme: str, said: bytes
) -> None:
    def hang_up() -> None:
        connection, _ = listener.accept()
        connection.recv(100)
        connection.sendall(said)
        connection.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    url = _url(listener, scheme)
    with connect(url, 5) as client, pytest.raises(NoAnswerError) as caught:
        client.text("hello")
    thread.join()
    assert not isinstance(caught.value, UnreachableError | DeadlineError)


@schemes
def test_closing_ends_the_calls_under_way(listener: socket.socket, scheme: str) -> None:
    client = connect(_url(listener, scheme), 30)
    with gevent.Timeout(10):
        asked = gevent.spawn(_outcome, client, CALLS["text"])
        gevent.sleep(0.1)
        client.close()
        kind, _ = asked.get()
    assert issubclass(kind, EmoserveError)


@schemes
def test_nobody_there_is_unreachable(listener: socket.socket, scheme: str) -> None:
    url = _url(listener, scheme)
    listener.close()
    with connect(url, 5) as client, pytest.raises(UnreachableError):
        client.text("hello")


@schemes
def test_a_name_that_nobody_has_is_unreachable(scheme: str) -> None:
    with connect(f"{scheme}://nobody.invalid:8000", 5) as client, pytest.raises(UnreachableError):
        client.text("hello")


def test_plain_connections_are_carried_by_it(triton: EmbeddedTriton) -> None:
    for url, kind in ((triton.http_url, CurlHttp), (triton.grpc_url, CurlGrpc)):
        with connect(url, 5) as client:
            client.text("hello")
            (made,) = client._driver._transports._made.values()
            assert type(made) is kind


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "grpcs://127.0.0.1:1"])
def test_what_is_encrypted_stays_with_the_client(url: str) -> None:
    made = GeventNetwork(Connection(), 1).connect(targets(url)[0].endpoint)
    assert not isinstance(made, CurlHttp | CurlGrpc)
    made.close()
