"""docs/bring-your-own-network.md, followed step by step."""

import re
import runpy
import shlex
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoserve_client import cli
from emoserve_export.manifest import read_manifest

PAGE = Path(__file__).parents[2] / "docs" / "bring-your-own-network.md"
FREE_PORTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]


def files() -> dict[str, str]:
    """Return the page's files: a name in backticks, then a block of Python."""
    return dict(
        re.findall(r"^`(\w+\.py)`\n\n```python\n(.*?)```", page(), re.DOTALL | re.MULTILINE)
    )


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", page(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


class Desk:
    """A folder with the page's files, and the commands run there as a reader would."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, patch
        self.server: subprocess.Popen[str] | None = None
        for name, text in files().items():
            (folder / name).write_text(text)
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))  # as Python does for the folder of a script

    def run(self, line: str) -> None:
        words = shlex.split(line)
        if words[0] == "python":
            runpy.run_path(words[1], run_name="__main__")
        elif words[:2] == ["emoserve", "serve"]:
            self._serve([*words, *FREE_PORTS])
        else:
            assert cli.main(words[1:]) == 0, line

    def _serve(self, words: list[str]) -> None:
        scripts = sysconfig.get_path("scripts")
        self.server = subprocess.Popen(
            [f"{scripts}/{words[0]}", *words[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.server.stdout is not None
        said = ""
        for line in self.server.stdout:
            said += line
            if found := re.search(r"grpc://[\d.]+:\d+", line):
                self._patch.setenv("EMOSERVE_URL", found[0])
                return
        pytest.fail(f"the server did not start: {said}")

    def close(self) -> None:
        if self.server is not None:
            self.server.terminate()
            self.server.communicate(timeout=60)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    made = Desk(tmp_path, monkeypatch)
    yield made
    made.close()


def test_the_page_is_followed_from_checkpoint_to_answer(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    said: dict[str, str] = {}
    for line in commands():
        desk.run(line)
        said[line] = capsys.readouterr().out
    assert "1 models, 0 differ" in said["emoserve verify --repository my_models"]
    assert re.search(r"'sad': (1\.0|0\.9)", said["python ask.py"])
    manifest = read_manifest(desk.folder / "my_models")
    assert manifest.networks["mood_net"]["version"] == 1
    assert manifest.networks["mood_net"]["last_version"] == 2
    assert "mood_net is at version 1 again" in "".join(said.values())
    assert "1 models against" in said["emoserve export --repository my_models --check"]


def test_the_declaration_is_as_short_as_promised() -> None:
    code = [line for line in files()["my_nets.py"].splitlines() if line.strip()]
    assert len(code) <= 40
