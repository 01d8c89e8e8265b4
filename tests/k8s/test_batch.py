"""The indexed Job: held together, and its very command run on real files by a real Triton."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emoserve_client import cli

SHARDS = 3


def test_the_job_hangs_together(batch, objects):
    job = batch.one("Job", "emoserve-batch")["spec"]
    spec, labels = job["template"]["spec"], job["template"]["metadata"]["labels"]
    (container,) = spec["containers"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert job["completionMode"] == "Indexed"
    assert environment["SHARDS"] == str(job["completions"])
    assert job["parallelism"] <= job["completions"]
    # An index is tried again by itself, but for what would end the same.
    assert job["backoffLimitPerIndex"] > 0
    (fail,) = (one for one in job["podFailurePolicy"]["rules"] if one["action"] == "FailIndex")
    assert fail["onExitCodes"]["values"] == [cli.USAGE, cli.BAD_INPUT]
    assert fail["onExitCodes"]["containerName"] == container["name"]
    assert spec["restartPolicy"] == "Never"  # what a podFailurePolicy demands
    assert batch.has("ServiceAccount", spec["serviceAccountName"])
    for volume in spec["volumes"]:
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            assert batch.has("PersistentVolumeClaim", claim)
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in spec["volumes"]}
    assert mounts["archive"]["readOnly"]
    # The service lets it in, and it is let out to the service.
    service = objects("cpu")
    callers = service.one("NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert callers[0]["podSelector"]["matchLabels"].items() <= labels.items()
    policy = batch.one("NetworkPolicy", "emoserve-batch")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    ((target,),) = (one["to"] for one in policy["egress"] if one["ports"] == [{"port": "grpc"}])
    selected = service.pod["metadata"]["labels"]
    assert target["podSelector"]["matchLabels"].items() <= selected.items()
    assert environment["EMOSERVE_URL"] == "grpc+dns://emoserve-pods:8001"
    assert service.has("Service", "emoserve-pods")


def test_a_bucket_is_mounted_read_only(objects):
    made = objects("batch-s3")
    volume = made.one("PersistentVolume", "emoserve-archive")["spec"]
    claim = made.one("PersistentVolumeClaim", "emoserve-archive")["spec"]
    assert volume["claimRef"] == {"namespace": "emoserve", "name": "emoserve-archive"}
    assert claim["volumeName"] == "emoserve-archive"
    assert claim["storageClassName"] == volume["storageClassName"] == ""
    assert "read-only" in volume["mountOptions"]


@pytest.fixture
def archive(tmp_path: Path, data: Path) -> Path:
    """Real pictures and sounds, in folders."""
    folder = tmp_path / "archive"
    found = [*sorted((data / "photos").glob("*.jpg"))[:5]]
    found += sorted((data / "clips" / "audio").glob("*.wav"))[:4]
    found += sorted((data / "clips" / "audio").glob("*.flac"))
    for number, source in enumerate(found):
        target = folder / f"day{number % 2}" / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return folder


class Index:
    """One index of the Job as a process: its command and environment, with this test's folders."""

    def __init__(self, job: dict, number: int, url: str, archive: Path) -> None:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        values = {one["name"]: one["value"] for one in container["env"]}
        values |= {"SHARDS": str(SHARDS), "JOB_COMPLETION_INDEX": str(number), "EMOSERVE_URL": url}
        self.lines = archive.parent / "results" / f"{number}.jsonl"
        self.lines.parent.mkdir(exist_ok=True)
        words = [*container["command"], *container["args"]]
        for name, value in values.items():
            words = [word.replace(f"$({name})", value) for word in words]
        words = [word.replace("/archive", str(archive)) for word in words]
        words = [word.replace("/results", str(self.lines.parent)) for word in words]
        assert words[0] == "emoserve"
        self._command = [sys.executable, "-m", "emoserve_client.cli", *words[1:]]
        self._environment = {**os.environ, **values, "HOME": str(archive.parent)}

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command, env=self._environment, text=True, stderr=subprocess.PIPE
        )

    def done(self) -> list[dict]:
        """The whole lines with an analysis."""
        if not self.lines.exists():
            return []
        whole = self.lines.read_text().split("\n")[:-1]
        return [one for one in map(json.loads, whole) if one.get("analysis")]


@pytest.mark.slow
def test_every_file_is_analysed_once_though_an_index_is_killed(objects, triton, archive):
    job = objects("batch").one("Job", "emoserve-batch")
    indexes = [Index(job, number, triton.grpc_url, archive) for number in range(SHARDS)]
    first = max(indexes, key=lambda one: _files_of(one, archive))
    with first.start() as process:
        until = time.monotonic() + 60
        while len(first.done()) < 1 and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    before = len(first.done())
    assert process.returncode == -signal.SIGKILL
    assert 0 < before < _files_of(first, archive), "killed too late to show anything"
    running = [index.start() for index in indexes]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0] * SHARDS, said
    resumed = said[indexes.index(first)]
    assert f"{before} of {_files_of(first, archive)} files are done already" in resumed
    analysed = [line["file"] for index in indexes for line in index.done()]
    assert sorted(analysed) == sorted(str(one) for one in archive.rglob("*.*"))


def _files_of(index: Index, archive: Path) -> int:
    from emoserve_client._commands.files import Shard, find

    shard = Shard(int(index.lines.stem), SHARDS)
    return sum(shard.holds(path) for path in find([str(archive)]))
