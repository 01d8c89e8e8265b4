"""The loop finds the best weights, stops early, and a resumed run equals an unbroken one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from emoserve_training.loop import Settings, TrainingError, rate_at, train, update_average

SETTINGS = Settings(
    epochs=4, batch=8, peak_rate=0.05, weight_decay=0.0, ema_decay=0.5, threads=1, seed=3
)


class Line:
    """Learns y = 2 x - 1; the score is the negative squared error."""

    steps_per_epoch = 5

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.1))

    def batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        for _ in range(self.steps_per_epoch):
            yield torch.rand(8, 1, generator=generator)

    def loss(self, batch: Tensor) -> Tensor:
        return ((self.network(batch) - (2 * batch - 1)) ** 2).mean()

    @torch.no_grad()
    def score(self, network: nn.Module) -> Mapping[str, float]:
        x = torch.linspace(0, 1, 9).unsqueeze(1)
        return {"score": -float(((network(x) - (2 * x - 1)) ** 2).mean())}


class Falling(Line):
    """Its score only falls."""

    def __init__(self) -> None:
        super().__init__()
        self.told = 0.0

    def score(self, network: nn.Module) -> Mapping[str, float]:
        self.told -= 1.0
        return {"score": self.told}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_learns_and_keeps_the_best(optimizer: str, tmp_path: Path) -> None:
    task = Line()
    before = task.score(task.network.eval())["score"]
    done = train(task, replace(SETTINGS, epochs=12, optimizer=optimizer), tmp_path)
    assert done.best_score == pytest.approx(task.score(task.network)["score"])
    assert done.best_score > before / 2
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    unbroken, broken = Line(), Line()
    train(unbroken, SETTINGS, tmp_path / "a")
    out = tmp_path / "b"

    class Stopped(Line):
        def score(self, network: nn.Module) -> Mapping[str, float]:
            if (out / "state.pt").exists():
                raise KeyboardInterrupt
            return super().score(network)

    with pytest.raises(KeyboardInterrupt):
        train(Stopped(), SETTINGS, out)
    done = train(broken, SETTINGS, out, resume=True)
    assert done.epoch == SETTINGS.epochs
    for one, other in zip(unbroken.network.parameters(), broken.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_stops_when_it_gets_no_better(tmp_path: Path) -> None:
    done = train(Falling(), replace(SETTINGS, epochs=50, patience=2), tmp_path)
    assert (done.epoch, done.best_epoch) == (3, 0)


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    train(Line(), replace(SETTINGS, epochs=1), tmp_path)
    with pytest.raises(TrainingError, match="already holds a run; add --resume"):
        train(Line(), SETTINGS, tmp_path)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"state\.pt is not there"):
        train(Line(), SETTINGS, tmp_path, resume=True)


def test_an_unknown_optimizer(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="accepted are: adamw, sgd"):
        train(Line(), replace(SETTINGS, optimizer="lion"), tmp_path)


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    rates = [rate_at(step, 100, SETTINGS) for step in range(100)]
    assert rates[0] == pytest.approx(0.005)
    assert rates[9] == max(rates) == pytest.approx(0.05)
    assert rates[55] == pytest.approx(0.025)
    assert rates[-1] < 2e-5


def test_the_average_moves_and_counters_are_copied() -> None:
    average, network = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    network.weight.data.fill_(3.0)
    network.num_batches_tracked.fill_(7)  # type: ignore[operator, union-attr]
    update_average(average, network, 0.75)
    torch.testing.assert_close(average.weight.data, torch.full((2,), 1.5))
    assert int(average.num_batches_tracked) == 7  # type: ignore[arg-type]
