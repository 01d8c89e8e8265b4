"""MTCNN written for a CPU answers like MTCNN, whatever the slopes of its PReLUs."""

import pytest
import torch
from torch import nn

from emoserve_export.networks.mtcnn import ONet, PNet, RNet

SLOPES = (-1.3, -0.2, 0.0, 0.3, 1.0, 1.4)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (PNet, (2, 3, 41, 30)),
        (PNet, (1, 3, 12, 12)),
        (RNet, (3, 3, 24, 24)),
        (ONet, (2, 3, 48, 48)),
    ],
)
def test_the_network_for_a_cpu_gives_the_same(
    build: type[PNet | RNet | ONet], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    network = build().eval()
    for module in network.modules():
        if isinstance(module, nn.PReLU):
            every = torch.tensor(SLOPES).repeat(module.num_parameters)[: module.num_parameters]
            module.weight.data.copy_(every)
    x = torch.rand(shape) * 2 - 1
    with torch.inference_mode():
        wanted = network(x)
        network.for_cpu()
        found = network(x)
    assert not any(isinstance(module, nn.PReLU) for module in network.modules())
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
