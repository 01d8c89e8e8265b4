"""Runs every example of docs/client.md, in order, against a real server."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from emoserve_client import cli
from emoserve_export import golden_media

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
LOCAL = "grpc://127.0.0.1:8001"


def blocks(language: str) -> list[str]:
    """The page's code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, triton: Any) -> Path:
    """A folder with the files that the examples name, and the server where they look for it."""
    (tmp_path / "clip.mp4").write_bytes(golden_media.clip())
    (tmp_path / "voice.wav").write_bytes(golden_media.wav(golden_media.voice()))
    (tmp_path / "face.png").write_bytes(golden_media.png(golden_media.face_picture()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOSERVE_URL", triton.grpc_url)
    return tmp_path


def test_the_python_examples(desk: Path, triton: Any) -> None:
    pytest.importorskip("pandas", reason="needs pandas")
    pytest.importorskip("opentelemetry", reason="needs opentelemetry-api")
    namespace: dict[str, Any] = {"__name__": "docs"}
    examples = blocks("python")
    assert len(examples) >= 12
    for number, example in enumerate(examples, 1):
        code = example.replace(LOCAL, triton.grpc_url)
        exec(compile(code, f"{PAGE.name}, example {number}", "exec"), namespace)  # noqa: S102
    for name in ("client", "careful", "watched"):
        namespace[name].close()


@pytest.mark.parametrize("block", blocks("console"))
def test_the_commands(desk: Path, block: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in block.splitlines():
        assert line.startswith("$ emoserve ")
        assert cli.main(shlex.split(line)[2:]) == 0, line
    assert {"clip.png", "answers.jsonl", "clip.json", "clip.csv", "clip.html", "clip.vtt"} <= {
        one.name for one in desk.iterdir()
    }
    assert len((desk / "answers.jsonl").read_text().splitlines()) == 3


def test_the_table_of_tritonclient_names_what_there_is() -> None:
    """Every method that the tables name exists."""
    from emoserve_client import EmotionClient

    for name in re.findall(r"`(?:for \w+ in )?c(?:lient)?\.(\w+)\(", PAGE.read_text()):
        known = hasattr(EmotionClient, name)
        raw = name in RAW
        assert known or raw, name


RAW = {
    "is_server_ready",
    "is_model_ready",
    "get_model_metadata",
    "get_inference_statistics",
    "load_model",
    "start_stream",
    "register_plugin",
    "register_system_shared_memory",
}
