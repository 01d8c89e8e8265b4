"""BERT for a CPU computes nothing for padding, and answers as the trained one does."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from emoserve_ensemble.runtimes import Runtime, read_runtime
from emoserve_export.catalogue import text_samples
from emoserve_export.conversion import convert
from emoserve_export.declaration import Checkpoint, Network, Tensor, axes
from emoserve_export.exporting import Choices, export
from emoserve_export.networks.bert import Bert, BertSize
from emoserve_export.networks.unpadded import UnpaddedBert
from emoserve_export.sessions import open_session

SIZE = BertSize(vocabulary=64, positions=16, hidden=16, heads=2, layers=2, intermediate=32)
MASK = torch.tensor(
    [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [1, 0, 1, 0, 1, 0],
    ]
)


@pytest.fixture
def plain() -> Bert:
    torch.manual_seed(5)
    return Bert(SIZE).eval()


@torch.no_grad()
def test_it_gives_every_token_what_bert_gives_it(plain: Bert) -> None:
    ids = torch.randint(0, SIZE.vocabulary, MASK.shape)
    wanted = plain(ids, MASK)
    unpadded = UnpaddedBert(deepcopy(plain))
    there = MASK.bool()
    torch.testing.assert_close(unpadded(ids, MASK)[there], wanted[there], atol=1e-5, rtol=1e-5)
    garbage = torch.where(there, ids, SIZE.vocabulary - 1)
    garbage[:, 0] = ids[:, 0]
    torch.testing.assert_close(unpadded(garbage, MASK), unpadded(ids, MASK))
    assert bool(unpadded(ids, MASK).isfinite().all())


@torch.no_grad()
def test_linear_layers_see_the_tokens_that_are_there(plain: Bert) -> None:
    seen: list[int] = []
    unpadded = UnpaddedBert(plain)
    for module in unpadded.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[0]))
    mask = MASK[:2]
    unpadded(torch.ones_like(mask), mask)
    assert seen == [int(mask.sum())] * 4 * SIZE.layers  # query, key and value are one


class Pooled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bert: torch.nn.Module = Bert(SIZE)

    def leave_out_padding(self) -> None:
        assert isinstance(self.bert, Bert)
        self.bert = UnpaddedBert(self.bert)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        first: torch.Tensor = self.bert(input_ids, attention_mask)[:, 0]
        return first


@pytest.fixture
def network(plain: Bert, tmp_path: Path) -> Network:
    file = tmp_path / "pooled.safetensors"
    save_file({f"bert.{name}": value for name, value in plain.state_dict().items()}, str(file))
    tokens = axes("batch", tokens=(1, 16))

    def samples(items: int, seed: int) -> dict[str, np.ndarray]:
        given = text_samples(items, seed)
        return {
            "input_ids": given["input_ids"][:, :16] % SIZE.vocabulary,
            "attention_mask": given["attention_mask"][:, :16],
        }

    return Network(
        name="pooled_net",
        build=Pooled,
        unpad="leave_out_padding",
        checkpoint=(Checkpoint(file),),
        inputs=(
            Tensor("input_ids", "int64", tokens, "word pieces", (0, SIZE.vocabulary - 1)),
            Tensor("attention_mask", "int64", tokens, "1 where a token is", (0, 1)),
        ),
        outputs=(Tensor("embedding", "float32", axes("batch", embedding=SIZE.hidden)),),
        samples=samples,
        kind="transformer",
        masked=True,
    )


def test_graphs_for_a_cpu_leave_padding_out_and_those_for_a_gpu_do_not(network: Network) -> None:
    for_cpu, for_gpu = convert(network).model, convert(network, profile="gpu").model
    kinds = [{node.op_type for node in model.graph.node} for model in (for_cpu, for_gpu)]
    assert ["NonZero" in each for each in kinds] == [True, False]
    one, other = open_session(for_cpu), open_session(for_gpu)
    for items in (1, 2, 9):
        given = network.sample(items, seed=items)
        np.testing.assert_allclose(
            one.run(given)["embedding"], other.run(given)["embedding"], atol=1e-5
        )


def test_the_repository_says_so_and_another_profile_is_another_graph(
    network: Network, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    assert export([network], repository, Choices(with_steps=False)).skipped == []
    assert read_runtime(repository / "pooled_net" / "1") == Runtime(unpadded=True)
    assert export([network], repository, Choices(with_steps=False)).skipped == ["pooled_net"]
    for_gpu = Choices(profile="gpu", with_steps=False)
    assert export([network], repository, for_gpu).versions == {"pooled_net": 2}
    assert read_runtime(repository / "pooled_net" / "2") == Runtime()
