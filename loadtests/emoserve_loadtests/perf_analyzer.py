"""NVIDIA's perf_analyzer on the same model with the same tensors, to hold our figures against.

Its last public wheel (tritonclient 2.46.0) carries the real binary; newer ones carry none. Two
libraries that it asks for under their plain names come with the embedded server's wheel. One caller
of it and one greenlet of ours do the same: send, wait, send again.
"""

from __future__ import annotations

import base64
import csv
import importlib.util
import json
import os
import stat
import statistics
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from emoserve_client import EmotionClient, TensorSpec
from emoserve_export.wheels import default_cache, read_member
from emoserve_loadtests.media import PREFIX_BYTES, Item, read_corpus
from emoserve_loadtests.served import Server
from emoserve_loadtests.trial import OTHERS_CORES, Trial, run_trial

_LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}
_WINDOWS = 3  # perf_analyzer's fewest; each lasts a third of the round
_MEDIA = {"image": "face", "audio": "speech", "text": "text"}  # input -> pipeline
_Pair = tuple[dict[str, float], dict[str, float]]  # ours, perf_analyzer's
_LOST, _SIGHTING_S, _LONGEST_S = 0.02, 2.0, 30.0
_TOKENS = 24  # a sentence's
_SEED = 0


def install() -> tuple[Path, dict[str, str]]:
    """Return the binary and the environment that it needs; both are kept in the cache.

    Raises:
        WheelError: it could not be downloaded, or is not the pinned one.
        RuntimeError: the embedded server's libraries are not installed.
    """
    folder = default_cache().parent / "perf_analyzer"
    folder.mkdir(parents=True, exist_ok=True)
    binary = folder / "perf_analyzer"
    if not binary.is_file():
        binary.write_bytes(read_member("tritonclient", "bin/perf_analyzer"))
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    for name, pattern in _LIBRARIES.items():
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(_library(pattern))
    return binary, {**os.environ, "LD_LIBRARY_PATH": str(folder)}


def _library(pattern: str) -> Path:
    found = importlib.util.find_spec("pytriton")
    site = Path(str(found.origin)).parents[1] if found else Path()
    for path in sorted((site / "nvidia_pytriton.libs").glob(pattern)):
        return path
    raise RuntimeError("perf_analyzer needs the embedded server: pip install 'emoserve[server]'")


def write_tensors(model: str, server: Server, folder: Path) -> Path:
    """Write a request as perf_analyzer reads it: typical media, or numbers of the right shape."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model}.json"
    with EmotionClient(server.grpc) as client:
        specs = client.model(model).info().inputs
    chance = np.random.default_rng(_SEED)
    tensors = {}
    for spec in specs:
        shape = [_TOKENS if size < 0 else size for size in spec.shape[1:]]
        tensors[spec.name] = {"content": _content(spec, shape, chance), "shape": shape}
    path.write_text(json.dumps({"data": [tensors]}), encoding="utf-8")
    return path


def _content(spec: TensorSpec, shape: list[int], chance: np.random.Generator) -> Any:
    size = int(np.prod(shape))
    if spec.datatype == "BYTES":
        media = _typical(_MEDIA[spec.name]).inputs[spec.name]
        raw = media.encode() if isinstance(media, str) else media
        prefix = len(raw).to_bytes(PREFIX_BYTES, "little")
        return {"b64": base64.b64encode(prefix + raw).decode()}
    if spec.datatype.startswith("INT"):
        return np.ones(size, int).tolist()
    return chance.standard_normal(size).round(4).tolist()


def _typical(pipeline: str) -> Item:
    """The payload of median length; pictures of cut-out faces apart."""
    corpus = read_corpus(None)
    items = [corpus.items[at] for at in corpus.of(pipeline)]
    items = sorted((one for one in items if one.size != "tiny"), key=lambda one: one.size_bytes)
    return items[len(items) // 2]


def measure(model: str, tensors: Path, server: Server, protocol: str, callers: int,
            seconds: float, out: Path) -> dict[str, float]:  # fmt: skip
    """Return what perf_analyzer measures: answers per second, p50 and p99 in ms."""
    binary, environment = install()
    out.mkdir(parents=True, exist_ok=True)
    table = out / "perf_analyzer.csv"
    table.unlink(missing_ok=True)
    command = [
        str(binary), "-m", model, "-u", urlsplit(server.url(protocol)).netloc, "-i", protocol,
        "--input-data", str(tensors), "--concurrency-range", str(callers),
        "--measurement-interval", str(round(seconds * 1000 / _WINDOWS)),
        # exactly so many windows, however much they differ: the rounds are ours
        "--max-trials", str(_WINDOWS), "--stability-percentage", "999",
        "--percentile", "99", "-f", str(table),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not table.is_file():
        raise RuntimeError(f"perf_analyzer failed:\n{(done.stdout + done.stderr)[-1500:]}")
    with table.open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    return {
        "per_s": float(row["Inferences/Second"]),
        "p50_ms": float(row["p50 latency"]) / 1000,
        "p99_ms": float(row["p99 latency"]) / 1000,
    }


def _ours(tensors: Path, server: Server, protocol: str, callers: int, seconds: float,
          out: Path) -> dict[str, float]:  # fmt: skip
    """The same figures by our own generator, and what other programs took meanwhile."""
    trial = Trial("model", (callers,), seconds + 1, protocol=protocol, media=tensors)
    recording = run_trial(trial, server, out)
    total = recording.report["total"]
    return {
        "per_s": total["throughput_per_s"],
        "p50_ms": total["latency_ms"]["p50"]["value"],
        "p99_ms": total["latency_ms"]["p99"]["value"],
        "cores_of_others": recording.cores_of_others,
    }


def compare(models: Sequence[str], callers: Sequence[int], rounds: int, seconds: float,
            server: Server, protocol: str, out: Path) -> list[dict[str, Any]]:  # fmt: skip
    """Return for each model and number of callers both figures and their ratio.

    Interleaved rounds, up to twice as many where other programs disturb them, of which the least
    disturbed count; a ratio is the median of their ratios, ours over perf_analyzer's.
    """
    found = []
    for model in models:
        tensors = write_tensors(model, server, out)
        for count in callers:
            load = (model, tensors, server, protocol, count)
            length_s = _long_enough(seconds, count, measure(*load, _SIGHTING_S, out)["per_s"])
            pairs: list[_Pair] = []
            while len(pairs) < 2 * rounds and sum(map(_quiet, pairs)) < rounds:
                folder = out / f"{model}-{count}-{len(pairs)}"
                theirs = measure(*load, length_s, folder)
                pairs.append((_ours(*load[1:], length_s, folder / "ours"), theirs))
            pairs = sorted(pairs, key=lambda pair: pair[0]["cores_of_others"])[:rounds]
            facts = {
                "model": model,
                "protocol": protocol,
                "callers": count,
                "rounds": rounds,
                "seconds": length_s,
                "cores_of_others": pairs[-1][0]["cores_of_others"],
            }
            found.append({**facts, **_medians(pairs)})
    return found


def _quiet(pair: _Pair) -> bool:
    return pair[0]["cores_of_others"] <= OTHERS_CORES


def _long_enough(seconds: float, callers: int, per_s: float) -> float:
    """How long a round must be.

    perf_analyzer counts a request only where it begins and ends in one window, so those in flight
    at its edges are lost; they must be few.
    """
    return min(max(seconds, _WINDOWS * callers / (_LOST * per_s)), _LONGEST_S)


def _medians(pairs: list[_Pair]) -> dict[str, Any]:
    median: Callable[[Any], float] = statistics.median
    made: dict[str, Any] = {}
    for key in ("per_s", "p50_ms", "p99_ms"):
        made[key] = {
            "ours": round(median(ours[key] for ours, _ in pairs), 3),
            "perf_analyzer": round(median(theirs[key] for _, theirs in pairs), 3),
            "ratio": round(median(ours[key] / theirs[key] for ours, theirs in pairs), 3),
        }
    return made
