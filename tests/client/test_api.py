"""What the package shows: complete, the same for both clients, light."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import emoserve_client
from emoserve_client import (
    AsyncEmotionClient,
    AsyncModel,
    EmotionClient,
    InputError,
    Model,
    OverloadedError,
    Retry,
)
from emoserve_client.testing import FakeServer

PACKAGE = Path(emoserve_client.__file__).parent
LIGHT = {"numpy", "grpc", "google", "tritonclient", "httpcore", "rich"}
# Asked for only where they are used; each by an extra, or by what it is for.
OPTIONAL = {
    "matplotlib",
    "pandas",
    "opentelemetry",
    "prometheus_client",
    "cv2",
    "sounddevice",
    "av",
}


def test_all_is_complete() -> None:
    shown = {name for name in vars(emoserve_client) if not name.startswith("_")}
    modules = {name for name in shown if inspect.ismodule(getattr(emoserve_client, name))}
    assert set(emoserve_client.__all__) - {"__version__"} == shown - modules
    assert emoserve_client.__all__ == sorted(emoserve_client.__all__, key=_ruffs_order)


def _ruffs_order(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_every_public_thing_is_described() -> None:
    for name in emoserve_client.__all__:
        thing = getattr(emoserve_client, name)
        if inspect.isclass(thing):
            assert inspect.getdoc(thing), name
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                if not method.startswith("_") and function.__module__.startswith("emoserve"):
                    assert inspect.getdoc(function), f"{name}.{method}"


@pytest.mark.parametrize(
    ("sync", "other"), [(EmotionClient, AsyncEmotionClient), (Model, AsyncModel)]
)
def test_both_clients_have_the_same_methods(sync: type, other: type) -> None:
    def public(kind: type) -> dict[str, Any]:
        members = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(f) for name, f in members if not name.startswith("_")}

    ours, theirs = public(sync), public(other)
    assert set(ours) == set(theirs)
    for name, signature in ours.items():
        assert list(signature.parameters.values()) == list(theirs[name].parameters.values()), name
        returned = str(theirs[name].return_annotation)
        for prefix in ("Async", "Generator["):
            returned = returned.replace(
                "AsyncGenerator[Reply, None]", "Generator[Reply, None, None]"
            )
            returned = returned.removeprefix(prefix) if prefix == "Async" else returned
        assert returned == str(signature.return_annotation), name
    if sync is EmotionClient:
        assert sync.__init__ is other.__init__  # type: ignore[misc]


def test_the_package_imports_nothing_heavy_and_nothing_of_ours() -> None:
    allowed = LIGHT | OPTIONAL | set(sys.stdlib_module_names) | {"emoserve_client"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import emoserve_client.cli", ["rich", "grpc", "httpcore", "matplotlib"]),
        (
            "import emoserve_client",
            [
                "grpc",
                "httpcore",
                "rich",
                "matplotlib",
                "pandas",
                "google.protobuf",
                "cv2",
                "av",
            ],
        ),
        (
            "from emoserve_client import EmotionClient; EmotionClient('http://x', hooks=[])",
            ["grpc", "tritonclient", "google.protobuf", "rich"],
        ),
        (
            "from emoserve_client import EmotionClient; EmotionClient('grpc://x', hooks=[])",
            ["httpcore", "rich"],
        ),
    ],
)
def test_only_what_is_needed_is_loaded(statement: str, absent: list[str]) -> None:
    script = f"import sys; {statement}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert [name for name in absent if name in loaded] == []


def test_a_client_shows_its_address_and_no_more() -> None:
    client = EmotionClient(["grpc://a", "grpc://b"], auth="secret")
    assert repr(client) == "EmotionClient('grpc://a:8001,grpc://b:8001')"
    assert client.endpoints == ("grpc://a:8001", "grpc://b:8001")
    assert repr(client.model("x", "2")) == ("<model x, version 2 at grpc://a:8001,grpc://b:8001>")


def test_options_can_be_changed_for_a_while() -> None:
    fake = FakeServer()
    client = fake.client(timeout_s=7.0)
    hasty = client.with_options(timeout_s=2.0, retry=Retry(attempts=1))
    client.text("x")
    hasty.text("x")
    assert [round(call.timeout_s or 0) for call in fake.calls] == [7, 2]
    fake.fail(OverloadedError)
    with pytest.raises(OverloadedError):
        hasty.text("x")
    with pytest.raises(InputError, match="no such setting: speed"):
        client.with_options(speed=3)
    with pytest.raises(InputError, match="make a new client"):
        client.with_options(connection=None)


@pytest.mark.parametrize(
    "options", [{"channels": 0}, {"retry": {"attempts": 0}}, {"tls": {"certificate": "x"}}]
)
def test_settings_that_make_no_sense(options: dict[str, Any]) -> None:
    def make() -> None:
        built = dict(options)
        if "retry" in built:
            built["retry"] = Retry(**built["retry"])
        if "tls" in built:
            built["tls"] = emoserve_client.Tls(**built["tls"])
        EmotionClient("grpc://x", **built)

    with pytest.raises(InputError):
        make()


def test_the_fake_plays_delays_and_models() -> None:
    import numpy as np

    fake = FakeServer()
    fake.model("double", lambda inputs: {"y": np.asarray(inputs["x"]) * 2})
    fake.model("count", lambda inputs: ({"n": np.array([at])} for at in range(3)))
    client = fake.client(retry=Retry(attempts=1))
    assert {one.name for one in client.models()} >= {"double", "count", "text"}
    fake.delay(0.2)
    with pytest.raises(emoserve_client.DeadlineError):
        client.text("x", timeout_s=0.05)
    assert client.text("x", timeout_s=0.05).emotions
