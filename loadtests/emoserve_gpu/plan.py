"""How much is measured: in full on a GPU, shortened on a CPU, tiny in a test."""

from __future__ import annotations

from dataclasses import dataclass

MOST_ITEMS = 64  # the networks' largest batch in Triton
GOAL = 0.9  # of the raw network's rate, for speech, text and fusion
GOAL_NETWORKS = ("speech_net", "text_net", "fusion_net")


@dataclass(frozen=True)
class Load:
    """Callers in a closed loop, each sending `batch` items in a request."""

    batch: int
    callers: int


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        networks: loads for each network alone; the best within the bound is held against torch.
        pipelines: callers for each pipeline, one item in a request.
        shares: open-loop arrival rates, as shares of the best closed-loop rate.
        torch_batches: batch sizes of the network in plain torch.
        rounds: of served and plain torch in turn, for the ratio.
        network_bound_ms, pipeline_bound_ms: the p99 that a rate must keep.
        processes: of the load generator.
        warm_s: of each pipeline under its heaviest load before anything counts: on a GPU the first
            call of each shape chooses its kernels.
    """

    networks: tuple[Load, ...]
    pipelines: tuple[int, ...]
    shares: tuple[float, ...]
    torch_batches: tuple[int, ...]
    rounds: int
    window_s: float
    settle_s: float
    network_bound_ms: float
    pipeline_bound_ms: float
    processes: int
    warm_s: float = 0.0


def _loads(*pairs: tuple[int, int]) -> tuple[Load, ...]:
    return tuple(Load(batch, callers) for batch, callers in pairs)


PLANS = {
    "full": Plan(
        networks=_loads((1, 1), (1, 16), (1, 64), (1, 192), (8, 8), (8, 32), (32, 8), (64, 4),
                        (64, 8), (64, 16)),
        pipelines=(1, 8, 32, 128),
        shares=(0.5, 0.8),
        torch_batches=(1, 2, 4, 8, 16, 32, 64),
        rounds=3,
        window_s=2.0,
        settle_s=0.5,
        network_bound_ms=20,
        pipeline_bound_ms=100,
        processes=8,
        warm_s=4.0,
    ),
    "short": Plan(
        networks=_loads((1, 1), (1, 16), (8, 4), (32, 2)),
        pipelines=(1, 8),
        shares=(0.7,),
        torch_batches=(1, 8, 32),
        rounds=3,
        window_s=1.0,
        settle_s=0.3,
        network_bound_ms=500,
        pipeline_bound_ms=2000,
        processes=1,
    ),
    "tiny": Plan(
        networks=_loads((1, 2), (8, 2)),
        pipelines=(2,),
        shares=(0.5,),
        torch_batches=(1, 8),
        rounds=1,
        window_s=0.4,
        settle_s=0.1,
        network_bound_ms=1000,
        pipeline_bound_ms=5000,
        processes=1,
    ),
}  # fmt: skip
