"""What Triton exports becomes figures."""

from emoserve_loadtests.server_figures import cores_of_others, in_words, per_model
from emoserve_loadtests.telemetry import _more, _read_metrics

# As Triton 2.51 writes it (docs/user_guide/metrics.md): two versions of a model add up.
METRICS = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="face",version="1"} 30
nv_inference_request_success{model="face",version="2"} 10
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{model="face",reason="OTHER",version="1"} 2
# TYPE nv_inference_count counter
nv_inference_count{model="face",version="1"} 60
# TYPE nv_inference_exec_count counter
nv_inference_exec_count{model="face",version="1"} 20
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{model="face",version="1"} 80000
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="face",version="1"} 5
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.75
# TYPE nv_gpu_memory_used_bytes gauge
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 2097152
"""


def sample(at_s: float, text: str) -> dict:
    made = {"at_s": at_s, "models": {}, "gpus": {}, "server": None,
            "generator": {"cpu_s": at_s / 2, "memory_bytes": 2**20}}  # fmt: skip
    _read_metrics(text, made)
    return made


def test_counters_become_means_and_gauges_peaks() -> None:
    samples = [sample(0, ""), sample(10, METRICS)]
    assert per_model(samples)["face"] == {
        "answered": 40,
        "failed": 2,
        "executions": 20,
        "batch": 3.0,
        "queue_ms": 2.0,
        "compute_ms": 0.0,
        "cache_hits": 0,
        "most_pending": 5,
    }
    assert per_model([samples[1], samples[1]]) == {}, "nothing was done in between"


def test_processes_and_gpus_are_told_in_words() -> None:
    generator, gpu = in_words([sample(0, METRICS), sample(10, METRICS), sample(30, "")], 10)
    assert generator.startswith("generator: 0.50 cores busy")
    assert gpu == "GPU GPU-1: 75% used on average, 75% at most; memory 2 MiB at most"


def test_batches_are_counted_from_the_start_of_the_run() -> None:
    assert _more({1: 10, 2: 5, 4: 1}, {1: 10, 2: 3}) == {2: 2, 4: 1}


def test_what_other_programs_took_is_told() -> None:
    def at(at_s: float, server_s: float, generator_s: float, machine_s: float, stolen_s: float):
        who = {"server": server_s, "generator": generator_s, "machine": machine_s}
        made = {name: {"cpu_s": used, "memory_bytes": 0.0} for name, used in who.items()}
        made["machine"]["stolen_s"] = stolen_s
        return {"at_s": at_s, "models": {}, "gpus": {}, **made}

    samples = [at(-5, 0, 0, 0, 0), at(0, 1, 1, 10, 0), at(10, 9, 2, 24, 1), at(30, 9, 2, 90, 1)]
    # of 14 + 1 s of all cores 8 + 1 were ours: 6 s in 10 s
    assert cores_of_others(samples, 10) == 0.6
    assert "other programs on this machine: 0.60 cores" in " ".join(in_words(samples, 10))
    assert cores_of_others([sample(0, METRICS), sample(9, METRICS)], 10) is None
