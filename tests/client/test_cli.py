"""The command line: what it says, what it writes, and how it ends."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from emoserve_client import cli
from emoserve_client._commands import files
from emoserve_export import golden_media

WORDS = "I am so happy to see you again after all these years, my friend!"
NOWHERE = "grpc://127.0.0.1:9"


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder with one of each: a clip, a sound, a picture, a text, and what is none of them."""
    (tmp_path / "clip.mp4").write_bytes(golden_media.clip())
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "voice.wav").write_bytes(golden_media.wav(golden_media.voice()))
    (tmp_path / "deep" / "face.png").write_bytes(golden_media.png(golden_media.face_picture()))
    (tmp_path / "note.txt").write_text(WORDS)
    (tmp_path / ".hidden.mp4").write_bytes(b"hidden")
    (tmp_path / "data.bin").write_bytes(bytes(range(256)))
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that runs the command line and gives its exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(one) for one in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_help_names_every_command(run: Any) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name, command in cli.COMMANDS.items():
        assert f"{name} " in out
        assert command.summary in out
    assert "exit codes: 0 done, 2 usage, 3 the input is unusable, 4 no server" in out
    assert run()[0] == 2
    assert run("--version")[1] == "emoserve 0.1.0\n"
    assert run("dance") == (
        2,
        "",
        f"emoserve: no command 'dance'; there are: {', '.join(cli.COMMANDS)}\n",
    )


@pytest.mark.parametrize("name", ["analyze", "models", "health", "stats", "live"])
def test_each_command_has_examples(run: Any, name: str) -> None:
    code, out, _ = run(name, "--help")
    assert code == 0
    assert f"  emoserve {name}" in out


def test_a_missing_extra_is_named() -> None:
    script = (
        "import sys; sys.modules['torch'] = sys.modules['pytriton'] = None\n"
        "from emoserve_client import cli\n"
        "cli.COMMANDS['export'] = cli.Command('no_such_package.cli', 'export', '')\n"
        "sys.exit(cli.main(['export']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "emoserve export needs no_such_package, which is not installed here" in ended.stderr
    assert "pip install 'emoserve[export]'" in ended.stderr


def test_without_a_server_it_says_how_to_start_one(run: Any, media: Path) -> None:
    code, out, err = run("analyze", media / "note.txt", "--url", NOWHERE)
    assert code == 4
    assert out == ""
    assert err == (f"emoserve: no server answers at {NOWHERE}\n  start one with: emoserve serve\n")
    assert run("models", "--url", NOWHERE)[0] == 4
    assert run("stats", "--url", NOWHERE)[0] == 4
    code, _, err = run("health", "--url", NOWHERE)
    assert code == 4
    assert "start one with: emoserve serve" in err


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"this is text", "holds text, not a video"),
        ("data.bin", bytes(range(256)), "not a picture, a sound, a clip or a text"),
        ("cut.txt", b"caf\xe9 \xff", "not a picture, a sound, a clip or a text"),
    ],
)
def test_what_cannot_be_used_is_said_before_any_server_is_asked(
    run: Any, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    code, out, err = run("analyze", tmp_path / name, "--url", NOWHERE)
    assert (code, out) == (3, "")
    assert err == f"emoserve: {tmp_path / name}: {says}\n"


def test_usage(run: Any, media: Path) -> None:
    note = media / "note.txt"
    assert run("analyze")[0] == 2
    assert run("analyze", note, "--resume")[0] == 2
    assert run("analyze", note, "--json", "-", "--csv", "-")[0] == 2
    assert run("analyze", note, "--jobs", "0")[0] == 2
    assert run("analyze", note, "--url", "ftp://x")[0] == 2
    assert run("analyze", note, "--plot", "-")[0] == 2
    assert run("analyze", note, "--json", media / "no" / "x.json")[0] == 2
    assert run("analyze", media, "--transcript", "x")[0] == 2
    code, _, err = run("analyze", media / "nope.mp4")
    assert (code, err) == (3, f"emoserve: {media / 'nope.mp4'}: there is no such file\n")


def test_folders_and_patterns(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = files.find([str(media), str(media / "clip.mp4")])
    assert [one.name for one in found] == ["clip.mp4", "face.png", "voice.wav", "note.txt"]
    monkeypatch.chdir(media)
    assert [str(one) for one in files.find(["**/*.wav", "data.bin"])] == [
        "deep/voice.wav",
        "data.bin",
    ]
    assert [files.pipeline_of(one) for one in found] == ["video", "face", "speech", "text"]


def test_each_file_is_in_one_shard_whatever_else_there_is(
    run: Any, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = files.find([str(media)])
    shards = [files.Shard.parse(f"{index}/3") for index in range(3)]
    parts = [[one for one in found if shard.holds(one)] for shard in shards]
    assert sorted(one for part in parts for one in part) == sorted(found)
    names = [Path(f"/archive/{number}.mp4") for number in range(1000)]
    sizes = [sum(shard.holds(one) for one in names) for shard in shards]
    assert min(sizes) > 280
    for wrong in ("3/3", "1", "a/b", "-1/3", "0/0"):
        assert "is no shard" in run("analyze", media, f"--shard={wrong}")[2]
    # A part without files is done at once, and asks no server.
    monkeypatch.chdir(media)
    others = [shard for shard in shards if not shard.holds(Path("note.txt"))]
    nothing = f"{others[0].index}/3"
    assert run("analyze", "note.txt", "--url", NOWHERE, "--shard", nothing) == (0, "", "")


def test_a_clip_as_table_and_json(run: Any, triton: Any, media: Path) -> None:
    clip, url = media / "clip.mp4", triton.grpc_url
    code, out, err = run("analyze", clip, "--url", url, "--transcript", WORDS)
    assert (code, err) == (0, "")
    assert "time " in out
    assert "my friend!" in out
    code, out, err = run("analyze", clip, "--url", url, "--transcript", WORDS, "--json", "-")
    document = json.loads(out)
    assert set(document) == {"file", "analysis", "models"}
    assert document["file"] == str(clip)
    assert set(document["analysis"]) == {"utterances", "summary"}
    for one in document["analysis"]["utterances"]:
        confidences = [score["confidence"] for score in one["emotions"]]
        assert confidences == sorted(confidences, reverse=True)
        assert sum(confidences) == pytest.approx(1, abs=1e-3)


class Balance(HTMLParser):
    """Notes tags that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        closed = str(self.get_starttag_text()).endswith("/>")
        if tag != "meta" and not closed:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_output_at_once(run: Any, triton: Any, media: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    names = ["json", "jsonl", "csv", "html"]
    outputs = [word for name in names for word in (f"--{name}", out / f"all.{name}")]
    outputs += ["--plot", out / "plots", "--vtt", out / "subtitles", "--srt", out / "subtitles"]
    code, shown, err = run("analyze", media, "--url", triton.http_url, "--quiet", *outputs)
    assert (code, shown, err) == (0, "", "4 of 4 files analyzed\n")
    documents = json.loads((out / "all.json").read_text())
    assert [Path(one["file"]).name for one in documents] == [
        "clip.mp4",
        "face.png",
        "voice.wav",
        "note.txt",
    ]
    assert len((out / "all.jsonl").read_text().splitlines()) == 4
    rows = list(csv.DictReader((out / "all.csv").read_text().splitlines()))
    assert {row["pipeline"] for row in rows} == {"video", "face", "speech", "text"}
    assert all(row["emotion"] for row in rows)
    assert sorted(one.read_bytes()[:4] for one in (out / "plots").iterdir()) == [b"\x89PNG"] * 4
    vtt, srt = sorted((out / "subtitles").iterdir(), key=lambda one: one.suffix, reverse=True)
    assert vtt.read_text().startswith("WEBVTT\n\nSTYLE\n")
    assert srt.read_text().startswith("1\n00:00:0")
    page = Balance()
    page.feed((out / "all.html").read_text())
    assert page.open == []
    assert {"svg", "rect", "table", "title"} <= page.seen
    assert "http" not in (out / "all.html").read_text()


def test_an_interrupted_run_is_resumed(run: Any, triton: Any, media: Path) -> None:
    lines, url = media / "all.jsonl", triton.grpc_url
    assert run("analyze", media / "note.txt", "--url", url, "--jsonl", lines)[0] == 0
    with lines.open("a") as sink:
        sink.write('{"file": "cut sho')  # as an interruption leaves it
    (before,) = (line for line in lines.read_text().splitlines() if "models" in line)
    code, out, err = run("analyze", media, "--url", url, "--jsonl", lines, "--resume", "--csv", "-")
    assert code == 0
    assert err.startswith("1 of 4 files are done already\n")
    complete = [line for line in lines.read_text().splitlines() if "models" in line]
    assert complete[0] == before
    assert len(complete) == 4
    assert len({row["file"] for row in csv.DictReader(out.splitlines())}) == 4
    (media / "note.txt").write_text("It has changed: what a sad day.")
    assert (
        "3 of 4 files are done already"
        in run("analyze", media, "--url", url, "--jsonl", lines, "--resume", "--quiet")[2]
    )


def test_one_bad_file_among_good_ones(run: Any, triton: Any, media: Path) -> None:
    (media / "cut.png").write_bytes(golden_media.png(golden_media.face_picture())[:100])
    note, cut = media / "note.txt", media / "cut.png"
    code, out, err = run("analyze", note, cut, "--url", triton.grpc_url, "--json", "-")
    assert code == 3
    assert str(cut) in err
    good, bad = json.loads(out)
    assert good["analysis"]["emotions"]
    assert bad["error"]["reason"] == "undecodable"


def test_the_server_is_asked(run: Any, triton: Any) -> None:
    url = triton.http_url
    code, out, _ = run("models", "--url", url)
    assert code == 0
    assert "video" in out
    assert "ready" in out
    assert "text BYTES [any, 1]" in run("models", "text", "--url", url)[1]
    assert json.loads(run("models", "--url", url, "--json")[1])[0]["state"]
    assert run("models", "nope", "--url", url)[0] == 5
    assert run("health", "video", "--url", url, "--wait", "5") == (
        0,
        f"video at {url} is ready (triton 2.51.0)\n",
        "",
    )
    assert run("health", "nope", "--url", url)[0] == 5
    assert "text" in run("stats", "--url", url)[1]
    ((found,),) = json.loads(run("stats", "text", "--url", url, "--json")[1]).values()
    assert found["name"] == "text"


def test_a_reader_that_has_had_enough(triton: Any, media: Path) -> None:
    command = f"{sys.executable} -m emoserve_client.cli models --url {triton.grpc_url} | head -1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0
    assert ended.stderr == ""


def test_a_file_is_played_live(run: Any, triton: Any, media: Path) -> None:
    lines = media / "live.jsonl"
    code, out, err = run(
        "live", media / "clip.mp4", "--url", triton.grpc_url, "--hop", 0.5, "--jsonl", lines
    )
    assert (code, err) == (0, "")
    *moments, last = out.splitlines()
    assert last.split()[1] == "answers:"
    answers = [json.loads(line) for line in lines.read_text().splitlines()]
    assert 1 <= len(answers) == int(last.split()[0]) <= len(moments)
    assert all(one["modalities"]["face"]["present"] for one in answers)
    times = [one["time"] for one in answers]
    assert times == sorted(times)


def test_live_without_a_camera_or_a_file_that_plays(run: Any, media: Path) -> None:
    code, _, err = run("live", media / "note.txt", "--url", NOWHERE)
    assert code == 3
    assert "cannot be played" in err
    code, _, err = run("live", "--camera", 99, "--url", NOWHERE)
    assert code == 3
    assert "there is no camera 99; play a file instead: emoserve live clip.mp4" in err


def test_ctrl_c_does_not_wait_for_the_server(small: Any, proxy: Any, media: Path) -> None:
    between = proxy(int(small.http_url.rsplit(":", 1)[1]))
    between.mode = "stall"
    url = f"http://127.0.0.1:{between.port}"
    command = [sys.executable, "-m", "emoserve_client.cli", "analyze", str(media), "--url", url]
    with subprocess.Popen(
        [*command, "--jsonl", str(media / "x.jsonl")], stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 20
        while not between.connections and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        started = time.monotonic()
        assert running.wait(10) == 130
        assert time.monotonic() - started < 3
        assert running.stderr is not None
        said = running.stderr.read()
    assert said.endswith(
        "files are in " + str(media / "x.jsonl") + "; go on with --resume\ninterrupted\n"
    )
