"""Weights into a module, or a refusal that names the tensor and what was expected."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from emoserve_export.errors import CheckpointError
from emoserve_export.weights.formats import State, read_state
from emoserve_export.weights.source import Checkpoint

COUNTER = ".num_batches_tracked"  # of BatchNorm, for training only


def load_weights(module: nn.Module, sources: Sequence[Checkpoint]) -> None:
    """Load the tensors of all sources, which together must be exactly the module's state.

    Raises:
        CheckpointError: a missing or surplus tensor, a wrong shape, NaN or infinite values, a
            name that two sources share, or an unreadable file.
    """
    state: State = {}
    for source in sources:
        for name, tensor in named_tensors(source).items():
            if name in state:
                raise CheckpointError(str(source), [f"{name}: another source has it too"])
            state[name] = tensor
    name = " + ".join(map(str, sources))
    expected = module.state_dict()
    _add_counters(state, expected)
    problems = state_problems(state, expected)
    if problems:
        raise CheckpointError(name, problems)
    module.load_state_dict(state, strict=True)


def named_tensors(source: Checkpoint) -> State:
    """Return one source's tensors under the module's names, without those it says to ignore."""
    state = read_state(source.read(), str(source))
    return {
        source.prefix + _renamed(name, source): tensor
        for name, tensor in state.items()
        if not any(fnmatchcase(name, pattern) for pattern in source.ignore)
    }


def _renamed(name: str, source: Checkpoint) -> str:
    for start in sorted(source.renames, key=len, reverse=True):
        if name.startswith(start):
            return source.renames[start] + name[len(start) :]
    return name


def _add_counters(state: State, expected: State) -> None:
    """Add the batch counters that BatchNorm keeps for training and other frameworks do not have."""
    for name, tensor in expected.items():
        if name.endswith(COUNTER):
            state.setdefault(name, torch.zeros_like(tensor))


def state_problems(state: State, expected: State) -> list[str]:
    """Return one sentence for each tensor of a state that the expected one does not accept."""
    problems = []
    for name in sorted(expected.keys() - state.keys()):
        problems.append(f"{name}: missing; expected shape {list(expected[name].shape)}")
    for name in sorted(state.keys() - expected.keys()):
        problems.append(f"{name}: surplus; the network has no such tensor")
    for name in sorted(state.keys() & expected.keys()):
        found, wanted = state[name], expected[name]
        if found.shape != wanted.shape:
            problems.append(f"{name}: shape {list(found.shape)}; expected {list(wanted.shape)}")
        elif found.is_floating_point() and not bool(torch.isfinite(found).all()):
            count = int((~torch.isfinite(found)).sum())
            problems.append(f"{name}: {count} of {found.numel()} values are NaN or infinite")
        elif name.endswith(COUNTER):
            continue  # a float counts as well
        elif found.is_floating_point() != wanted.is_floating_point():
            problems.append(f"{name}: {found.dtype}; expected {wanted.dtype}")
    return problems
