"""The server's samples as figures of the whole run: per model, and of its processes and GPUs."""

from __future__ import annotations

from typing import Any

_MIB = 2**20


def per_model(samples: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return what each model that worked did between the first and the last sample.

    `queue_ms` and `compute_ms` are means per request; Triton counts a batch's compute time once
    for each request in it.
    """
    if not samples:
        return {}
    first, last = samples[0]["models"], samples[-1]["models"]
    found = {}
    for name in sorted(last):
        grown = {
            key: value - first.get(name, {}).get(key, 0.0)
            for key, value in last[name].items()
            if key != "pending"
        }
        answered, executions = grown.get("answered", 0), grown.get("executions", 0)
        if not answered + grown.get("failed", 0):
            continue
        found[name] = {
            "answered": int(answered),
            "failed": int(grown.get("failed", 0)),
            "executions": int(executions),
            "batch": grown.get("inferences", 0) / executions if executions else 0.0,
            "queue_ms": grown.get("queue_us", 0) / max(answered, 1) / 1000,
            "compute_ms": grown.get("compute_us", 0) / max(answered, 1) / 1000,
            "cache_hits": int(grown.get("cache_hits", 0)),
            "most_pending": int(max(s["models"].get(name, {}).get("pending", 0) for s in samples)),
        }
    return found


def cores_of_others(samples: list[dict[str, Any]], seconds: float) -> float | None:
    """Return how many cores other programs, or the host, took from this machine during the run.

    None where the server runs elsewhere, so that nothing can be said.
    """
    known = [one for one in _during(samples, seconds) if one["server"] and one["generator"]]
    if len(known) < 2:
        return None
    first, last = known[0], known[-1]

    def grown(who: str, key: str = "cpu_s") -> float:
        return float(last[who][key] - first[who][key])

    ours = grown("server") + grown("generator")
    others = grown("machine") + grown("machine", "stolen_s") - ours
    return max(0.0, others / float(last["at_s"] - first["at_s"]))


def _during(samples: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    return [sample for sample in samples if 0 <= sample["at_s"] <= seconds + 1]


def in_words(samples: list[dict[str, Any]], seconds: float) -> list[str]:
    """Return the load of processes and GPUs while requests came, in sentences."""
    others, samples = cores_of_others(samples, seconds), _during(samples, seconds)
    told = []
    for who in ("server", "generator"):
        known = [(s["at_s"], s[who]) for s in samples if s[who]]
        if len(known) < 2:
            continue
        (began_s, first), (ended_s, last) = known[0], known[-1]
        cores = (last["cpu_s"] - first["cpu_s"]) / max(ended_s - began_s, 1e-9)
        peak = max(one["memory_bytes"] for _, one in known)
        told.append(
            f"{who}: {cores:.2f} cores busy on average, memory {first['memory_bytes'] / _MIB:.0f} "
            f"MiB at first, {peak / _MIB:.0f} at most, {last['memory_bytes'] / _MIB:.0f} at last"
        )
    if others is not None:
        told.append(f"other programs on this machine: {others:.2f} cores; the fewer the better")
    for gpu in sorted({name for sample in samples for name in sample["gpus"]}):
        seen = [s["gpus"][gpu] for s in samples if gpu in s["gpus"]]
        used = [one.get("gpu_utilisation", 0.0) for one in seen]
        memory = max(one.get("gpu_memory_bytes", 0.0) for one in seen)
        told.append(
            f"GPU {gpu}: {sum(used) / len(used):.0%} used on average, {max(used):.0%} at most; "
            f"memory {memory / _MIB:.0f} MiB at most"
        )
    return told
