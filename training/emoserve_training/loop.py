"""The training loop that all four networks share.

A network brings a `Task`: its batches, its loss and its score on validation data. The loop adds
what is the same for all: AdamW or SGD under a warm-up and cosine schedule, an exponential moving
average of the weights (the average is what is validated and kept), the best weights by validation
score, early stop, a progress bar, TensorBoard, and a state file to resume from.

Every epoch draws from its own seed, so a resumed run gives the weights of an unbroken one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

STATE_FILE = "state.pt"
BEST_FILE = "best.pt"


class TrainingError(Exception):
    """Training cannot start or go on: the message names what was found and what is accepted."""


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train. `ema_decay` 0 keeps the plain weights."""

    epochs: int
    batch: int
    peak_rate: float
    weight_decay: float
    optimizer: str = "adamw"
    warmup_share: float = 0.1
    ema_decay: float = 0.999
    patience: int = 12
    seed: int = 7
    threads: int = 2
    clip_norm: float = 5.0


class Task(Protocol):
    """What one network brings to the loop."""

    steps_per_epoch: int

    @property
    def network(self) -> nn.Module:
        """The network to train."""

    def batches(self, generator: torch.Generator) -> Iterator[Any]:
        """Yields one epoch's batches, shuffled and augmented."""

    def loss(self, batch: Any) -> Tensor:
        """Returns the scalar loss of one batch on `network`."""

    def score(self, network: nn.Module) -> Mapping[str, float]:
        """Returns validation figures; `score` (higher is better) chooses the best weights."""


@dataclass
class Progressed:
    """How far a run has come."""

    epoch: int = 0
    best_score: float = -math.inf
    best_epoch: int = -1


def train(task: Task, settings: Settings, out: Path, resume: bool = False) -> Progressed:
    """Returns how far the run came; `task.network` then holds the best weights.

    Args:
        task: the network with its data.
        settings: see `Settings`.
        out: folder for `state.pt`, `best.pt` and TensorBoard's event files.
        resume: go on from `out/state.pt`.

    Raises:
        TrainingError: nothing to resume from, or `out` already holds a run and `resume` is off.
    """
    torch.set_num_threads(settings.threads)
    _check_folder(out, resume)
    average = copy.deepcopy(task.network).eval().requires_grad_(False)
    optimizer = _optimizer(task.network, settings)
    done = _restore(out, task.network, average, optimizer) if resume else Progressed()
    console = Console(stderr=True)
    with SummaryWriter(str(out)) as log, _bar(console) as bar:
        while done.epoch < settings.epochs and not _stalled(done, settings):
            mean_loss = _one_epoch(task, average, optimizer, settings, done.epoch, bar)
            figures = dict(task.score(average))
            _note(log, console, done.epoch, mean_loss, figures)
            if figures["score"] > done.best_score:
                done.best_score, done.best_epoch = figures["score"], done.epoch
                torch.save(average.state_dict(), out / BEST_FILE)
            done.epoch += 1
            _save(out, task.network, average, optimizer, done)
    task.network.load_state_dict(torch.load(out / BEST_FILE, weights_only=True))
    task.network.eval()
    return done


def rate_at(step: int, steps: int, settings: Settings) -> float:
    """Returns the learning rate at a step: a linear warm-up, then half a cosine down to zero."""
    warmup = max(1, int(steps * settings.warmup_share))
    if step < warmup:
        return settings.peak_rate * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return settings.peak_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def _one_epoch(
    task: Task,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    epoch: int,
    bar: Progress,
) -> float:
    """Returns the mean training loss."""
    torch.manual_seed(settings.seed * 100_003 + epoch)
    generator = torch.Generator().manual_seed(settings.seed * 100_003 + epoch)
    first = epoch * task.steps_per_epoch
    steps = settings.epochs * task.steps_per_epoch
    line = bar.add_task(f"epoch {epoch + 1}/{settings.epochs}", total=task.steps_per_epoch)
    task.network.train()
    total = 0.0
    for step, batch in enumerate(task.batches(generator), start=first):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps, settings) * group["rate_share"]
        optimizer.zero_grad(set_to_none=True)
        loss = task.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(task.network.parameters(), settings.clip_norm)
        optimizer.step()
        update_average(average, task.network, min(settings.ema_decay, (1 + step) / (10 + step)))
        total += float(loss.detach())
        bar.advance(line)
    bar.remove_task(line)
    return total / task.steps_per_epoch


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves `average` towards `network` by `1 - decay`; counters are copied."""
    now = network.state_dict()
    for name, held in average.state_dict().items():
        if held.dtype.is_floating_point:
            held.lerp_(now[name], 1 - decay)
        else:
            held.copy_(now[name])


def _optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Biases, norms and other vectors are not decayed (Goyal et al. 2017, arXiv:1706.02677)."""
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "rate_share": 1.0},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0, "rate_share": 1.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=settings.peak_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=settings.weight_decay,
        )
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.peak_rate, weight_decay=settings.weight_decay)
    raise TrainingError(f"unknown optimizer {settings.optimizer!r}; accepted are: adamw, sgd")


def _check_folder(out: Path, resume: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    held = (out / STATE_FILE).exists()
    if resume and not held:
        raise TrainingError(f"--resume: {out / STATE_FILE} is not there")
    if held and not resume:
        raise TrainingError(f"{out} already holds a run; add --resume, or choose another folder")


def _save(
    out: Path,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    done: Progressed,
) -> None:
    """Writes the state beside its place and then moves it, so that a stop never halves it."""
    state = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": vars(done),
    }
    torch.save(state, out / f"{STATE_FILE}.part")
    (out / f"{STATE_FILE}.part").replace(out / STATE_FILE)


def _restore(
    out: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> Progressed:
    state = torch.load(out / STATE_FILE, weights_only=True)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return Progressed(**state["progress"])


def _stalled(done: Progressed, settings: Settings) -> bool:
    return done.best_epoch >= 0 and done.epoch - done.best_epoch > settings.patience


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _note(
    log: SummaryWriter, console: Console, epoch: int, loss: float, figures: Mapping[str, float]
) -> None:
    log.add_scalar("train/loss", loss, epoch)
    for name, value in figures.items():
        log.add_scalar(f"validation/{name}", value, epoch)
    shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
    console.print(f"epoch {epoch + 1}  loss {loss:.4f}  {shown}", highlight=False)
