"""TLS, mutual TLS, tokens and restricted APIs, against a real Triton that demands them."""

from __future__ import annotations

import datetime
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emoserve_client import (
    AccessDeniedError,
    EmotionClient,
    InputError,
    NoAnswerError,
    Retry,
    Tls,
    UntrustedError,
)
from emoserve_client.testing import FakeServer

trustme = pytest.importorskip("trustme", reason="needs the package trustme to make certificates")
ONCE = Retry(attempts=1)


class Papers:
    """A certificate authority, and what it has signed, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.server = self.issue("server")
        self.client = self.issue("client")

    def issue(self, name: str, **options: Any) -> tuple[Path, Path]:
        issued = self.authority.issue_cert("localhost", "127.0.0.1", common_name=name, **options)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return certificate, key

    def grpc_flags(self, server: tuple[Path, Path], *, mutual: bool = False) -> list[str]:
        flags = [f"--grpc-server-cert={server[0]}", f"--grpc-server-key={server[1]}"]
        flags += [f"--grpc-root-cert={self.ca}"]
        return [*flags, "--grpc-use-ssl-mutual=true" if mutual else "--grpc-use-ssl=true"]


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


def secure(server: Any) -> str:
    """The address of a gRPC server with TLS."""
    return f"grpcs://127.0.0.1:{server.grpc_url.rsplit(':', 1)[1]}"


def test_mutual_tls_over_grpc(serve: Any, papers: Papers, way: str, open_client: Any) -> None:
    server = serve(*papers.grpc_flags(papers.server, mutual=True))
    certificate, key = papers.client
    mine = Tls(ca=papers.ca, certificate=certificate, key=key)
    assert open_client(way, secure(server), tls=mine).server().name == "triton"
    with pytest.raises(UntrustedError):
        open_client(way, secure(server), timeout_s=5.0).server()
    with pytest.raises(NoAnswerError) as caught:
        open_client(way, secure(server), tls=Tls(ca=papers.ca), timeout_s=5.0).server()
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("does it want your certificate?"), str(caught.value)


def test_certificates_are_read_again_when_they_change(
    serve: Any, papers: Papers, tmp_path: Path
) -> None:
    server = serve(*papers.grpc_flags(papers.server))
    other = trustme.CA()
    ca = tmp_path / "ca.pem"
    other.cert_pem.write_to_path(ca)
    with EmotionClient(secure(server), tls=Tls(ca=ca), retry=ONCE) as client:
        with pytest.raises(UntrustedError) as caught:
            client.server()
        assert caught.value.hint == "give the certificates as `tls=Tls(ca=..., ...)`"
        ca.write_bytes(papers.ca.read_bytes())
        assert client.server().name == "triton"


def test_an_expired_certificate_is_not_tried_again(serve: Any, papers: Papers) -> None:
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    server = serve(*papers.grpc_flags(papers.issue("expired", not_after=yesterday)))
    with EmotionClient(secure(server), tls=Tls(ca=papers.ca)) as client:
        with pytest.raises(UntrustedError, match="certificate has expired") as caught:
            client.server()
        assert len(caught.value.attempts) == 1


@pytest.fixture
def https(small: Any, papers: Papers) -> Iterator[Callable[..., str]]:
    """A function that puts TLS before the session's server: Triton's own HTTP has none."""
    listeners = []

    def put(certificate: tuple[Path, Path], *, mutual: bool = False) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, certificate))
        if mutual:
            context.load_verify_locations(str(papers.ca))
            context.verify_mode = ssl.CERT_REQUIRED
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        target = int(small.http_url.rsplit(":", 1)[1])
        threading.Thread(target=_accept, args=(listener, context, target), daemon=True).start()
        return f"https://localhost:{listener.getsockname()[1]}"

    yield put
    for listener in listeners:
        listener.close()


def _accept(listener: socket.socket, context: ssl.SSLContext, target: int) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        try:
            caller = context.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            continue
        to = socket.create_connection(("127.0.0.1", target))
        for pair in ((caller, to), (to, caller)):
            threading.Thread(target=_pipe, args=pair, daemon=True).start()


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        sink.close()


def test_mutual_tls_over_http(https: Any, papers: Papers, way: str, open_client: Any) -> None:
    url = https(papers.server, mutual=True)
    certificate, key = papers.client
    mine = Tls(ca=papers.ca, certificate=certificate, key=key)
    assert open_client(way, url, tls=mine).server().name == "triton"
    with pytest.raises(UntrustedError):
        open_client(way, url, retry=ONCE).server()
    # By TLS 1.3 it is a matter of time whether the refusal or the end of the line comes first.
    with pytest.raises((UntrustedError, NoAnswerError)) as caught:
        open_client(way, url, tls=Tls(ca=papers.ca), retry=ONCE).server()
    assert "certificate" in str(caught.value)


def test_an_expired_certificate_over_http(https: Any, papers: Papers) -> None:
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    url = https(papers.issue("expired", not_after=yesterday))
    with (
        EmotionClient(url, tls=Tls(ca=papers.ca)) as client,
        pytest.raises(UntrustedError, match="certificate has expired"),
    ):
        client.server()


def test_restricted_apis_want_their_key(serve: Any, protocol: str) -> None:
    server = serve(
        "--grpc-restricted-protocol=statistics,trace:admin-key=open-sesame",
        "--http-restricted-api=statistics,trace:admin-key=open-sesame",
    )
    url = server.grpc_url if protocol == "grpc" else server.http_url
    with EmotionClient(url) as client:
        with pytest.raises(AccessDeniedError, match="restricted"):
            client.statistics()
        admin = client.with_options(restricted={"admin-key": "open-sesame"})
        ((statistics,),) = admin.statistics("echo").values()
        assert statistics.name == "echo"
        assert admin.model("echo").infer(fp32=[[1.0]], outputs=["fp32"])["fp32"] == [[1.0]]


SECRET = "s3cret-token"


def test_secrets_are_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="emoserve_client")
    fake = FakeServer()
    client = fake.client(
        auth=SECRET, headers={"x-key": SECRET}, restricted={"admin-key": SECRET}, retry=ONCE
    )
    client.text("hello")
    fake.fail(AccessDeniedError)
    with pytest.raises(AccessDeniedError) as caught:
        client.text("hello")
    shown = [repr(client), repr(client._session.settings), str(caught.value), repr(caught.value)]
    shown += [repr(one) for one in fake.calls]
    shown += [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    assert len(caplog.records) == 2
    assert not [text for text in shown if SECRET in text]
    assert fake.calls[0].headers["authorization"] == f"Bearer {SECRET}"


def test_a_token_provider_may_be_a_coroutine_function_for_the_asynchronous_client(
    open_client: Any,
) -> None:
    async def token() -> str:
        return "Basic abc"

    fake = FakeServer()
    open_client("async", "grpc://fake", connector=fake, auth=token).text("hello")
    assert fake.calls[0].headers["authorization"] == "Basic abc"
    with pytest.raises(TypeError, match="needs the asynchronous client"):
        open_client("sync", "grpc://fake", connector=fake, auth=token).text("hello")


def test_credentials_do_not_belong_into_addresses() -> None:
    with pytest.raises(InputError, match="give credentials as `auth`") as caught:
        EmotionClient(f"http://me:{SECRET}@host:8000")
    assert SECRET not in str(caught.value)
