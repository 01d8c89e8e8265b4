"""MTCNN's three networks: P-Net proposes faces, R-Net refines, O-Net decides and places landmarks.

Zhang et al. 2016, «Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks» (arXiv:1604.02878). Parameters are named as in the `facenet-pytorch` package, whose
weights (MIT) are loaded. All take RGB as (x - 127.5) / 128.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNEL_BLOCK = 16
"""Channels that ONNX Runtime keeps together on a processor with AVX-512 (8 with AVX2)."""


class _Stage(nn.Module):
    """What the three networks have in common."""

    def for_cpu(self) -> None:
        """Replace each PReLU by operators that ONNX Runtime computes 8 to 16 times as fast.

        Its own `PRelu` was half of the detector's time (docs/decisions.md 16).
        """
        for name, child in self.named_children():
            if isinstance(child, nn.PReLU):
                slope = child.weight.detach()
                after_dense = name.removeprefix("prelu") in self._dense_layers()
                setattr(self, name, _DensePReLU(slope) if after_dense else _MapPReLU(slope))

    def _dense_layers(self) -> set[str]:
        layers = (name for name, child in self.named_children() if isinstance(child, nn.Linear))
        return {name.removeprefix("dense") for name in layers}


class _DensePReLU(nn.Module):
    """x where it is positive, else slope * x; of [batch, features], slope float32 [features]."""

    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.register_buffer("slope", slope)
        self.register_buffer("rest", 1 - slope)

    def forward(self, x: Tensor) -> Tensor:
        return self.get_buffer("slope") * x + self.get_buffer("rest") * torch.relu(x)


class _MapPReLU(nn.Module):
    """The same of maps [batch, channels, rows, columns], as convolutions of one pixel.

    Between convolutions ONNX Runtime keeps values in blocks of 16 channels. It adds and clips them
    there as part of a convolution; any other operator makes it copy all values to the plain order
    and back.

    Args:
        slope: float32 [channels].
    """

    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.linear = _each_channel(slope)
        rest = _each_channel(1 - slope)
        convex = bool((slope <= 1).all())
        # (1 - slope) * relu(x), in one step where the factor may be drawn in
        self.bend = nn.Sequential(rest, nn.ReLU()) if convex else nn.Sequential(nn.ReLU(), rest)

    def forward(self, x: Tensor) -> Tensor:
        bent, straight = self.bend(x), self.linear(x)
        return torch.add(bent, straight)


class _PooledPReLU(nn.Module):
    """The largest PReLU(x) of each window, computed after pooling: of a quarter of the values.

    With L the largest and S the smallest x of a window, it is max(L, slope * L) for a slope of 0 to
    1, min(L, slope * L) above, and max(L, slope * S) below 0; where max(a, b) = b + relu(a - b).
    S comes as -S from `_with_negatives`.

    Args:
        slope: float32 [channels].
        width: channels of the result: those above the given ones are 0.
    """

    def __init__(self, slope: Tensor, pool: nn.MaxPool2d, width: int) -> None:
        super().__init__()
        self._pool = pool
        channels, falling = len(slope), _falling(slope)
        one, other = torch.zeros(2, width, channels + len(falling))
        one[range(channels), range(channels)] = 1.0
        other[range(channels), range(channels)] = torch.where(slope < 0, 0.0, slope)
        other[falling, range(channels, channels + len(falling))] = -slope[falling]
        sign = torch.ones(width)
        sign[:channels][slope > 1] = -1.0  # min(a, b) = b - relu(b - a)
        self.linear = _one_pixel(other)
        self.kink = _one_pixel(sign[:, None] * (one - other))
        self.sign = _each_channel(sign)

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [batch, width, rows, columns]; `x` has the negatives as well."""
        x = self._pool(x)
        bent, straight = self.sign(torch.relu(self.kink(x))), self.linear(x)
        return torch.add(bent, straight)


def _one_pixel(matrix: Tensor) -> nn.Conv2d:
    """Return the convolution that multiplies the channels of each pixel by [outputs, inputs]."""
    made = nn.Conv2d(matrix.shape[1], matrix.shape[0], 1, bias=False)
    made.weight = nn.Parameter(matrix[:, :, None, None].clone(), requires_grad=False)
    return made


def _each_channel(factor: Tensor) -> nn.Conv2d:
    """Return the convolution that multiplies each channel by its factor: float32 [channels]."""
    made = nn.Conv2d(len(factor), len(factor), 1, groups=len(factor), bias=False)
    made.weight = nn.Parameter(factor[:, None, None, None].clone(), requires_grad=False)
    return made


def _falling(slope: Tensor) -> list[int]:
    return [index for index, value in enumerate(slope.tolist()) if value < 0]


def _with_negatives(conv: nn.Conv2d, channels: list[int]) -> nn.Conv2d:
    """Return a convolution that gives some of its channels again, with the sign turned."""
    assert conv.bias is not None
    return _convolution(
        torch.cat([conv.weight, -conv.weight[channels]]),
        torch.cat([conv.bias, -conv.bias[channels]]),
    )


def _with_more_inputs(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Return a convolution of more channels, of which it does not use the last ones."""
    assert conv.bias is not None
    more = channels - conv.in_channels
    return _convolution(functional.pad(conv.weight, (0, 0, 0, 0, 0, more)), conv.bias)


def _with_more_outputs(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Return a convolution of more channels, of which the last ones are 0."""
    assert conv.bias is not None
    more = channels - conv.out_channels
    weight = functional.pad(conv.weight, (0, 0, 0, 0, 0, 0, 0, more))
    return _convolution(weight, functional.pad(conv.bias, (0, more)))


def _convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    made = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:])  # type: ignore[arg-type]
    made.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    made.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return made


class PNet(_Stage):
    """Faces of 12 pixels at every second pixel of a picture of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1: nn.Module = nn.PReLU(10)
        self.pool1: nn.Module = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)
        self.heads: nn.Module = _PHeads(self.conv4_2, self.conv4_1)

    def for_cpu(self) -> None:
        """Also pool before PReLU, and ask both heads at once, the logits as their difference.

        The maps of large pictures do not fit the processor's caches: each pass over them counts.
        """
        prelu, pool = self.prelu1, self.pool1
        assert isinstance(prelu, nn.PReLU)
        assert isinstance(pool, nn.MaxPool2d)
        slope = prelu.weight.detach()
        self.conv1 = _with_negatives(self.conv1, _falling(slope))
        self.pool1 = _PooledPReLU(slope, pool, CHANNEL_BLOCK)
        self.prelu1 = nn.Identity()
        self.conv2 = _with_more_inputs(self.conv2, CHANNEL_BLOCK)
        super().for_cpu()
        self.heads = _JoinedPHeads(self.conv4_2, self.conv4_1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return box offsets [batch, 4, rows, columns] and face probability [batch, rows, columns].

        Args:
            image: float32 [batch, 3, height, width], each side at least 12.
        """
        x = self.pool1(self.prelu1(self.conv1(image)))
        x = self.prelu2(self.conv2(x))
        x = self.prelu3(self.conv3(x))
        box, face = self.heads(x)
        return box, face


class _PHeads(nn.Module):
    """P-Net's two answers, from the last maps."""

    def __init__(self, box: nn.Conv2d, face: nn.Conv2d) -> None:
        super().__init__()
        self._asked = (box, face)  # a tuple: their parameters keep their names

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        box, face = (conv(x) for conv in self._asked)
        return box, torch.softmax(face, dim=1)[:, 1]


class _JoinedPHeads(nn.Module):
    """The same from one convolution: a softmax of two is the sigmoid of their difference."""

    def __init__(self, box: nn.Conv2d, face: nn.Conv2d) -> None:
        super().__init__()
        assert box.bias is not None
        assert face.bias is not None
        self.conv = _convolution(
            torch.cat([box.weight, face.weight[1:] - face.weight[:1]]),
            torch.cat([box.bias, face.bias[1:] - face.bias[:1]]),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(x)
        return x[:, :4], torch.sigmoid(x[:, 4])


class RNet(_Stage):
    """One candidate of 24x24 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)
        self.flatten: nn.Module = _ColumnsFirst()

    def for_cpu(self) -> None:
        """Also fill the first maps up to whole blocks of channels, and flatten as they lie."""
        slope = self.prelu1.weight.detach()
        self.conv1 = _with_more_outputs(self.conv1, 2 * CHANNEL_BLOCK)
        self.prelu1 = nn.PReLU(2 * CHANNEL_BLOCK)
        self.prelu1.weight.data = functional.pad(slope, (0, 2 * CHANNEL_BLOCK - len(slope)))
        self.conv2 = _with_more_inputs(self.conv2, 2 * CHANNEL_BLOCK)
        super().for_cpu()
        self.dense4, self.flatten = _rows_first(self.dense4, 64, 3), nn.Flatten()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return box offsets [batch, 4] and face probability [batch, 1].

        Args:
            image: float32 [batch, 3, 24, 24].
        """
        x = self.pool1(self.prelu1(self.conv1(image)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(self.flatten(x)))
        return self.dense5_2(x), torch.softmax(self.dense5_1(x), dim=1)[:, 1:]


class ONet(_Stage):
    """One candidate of 48x48 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)
        self.flatten: nn.Module = _ColumnsFirst()

    def for_cpu(self) -> None:
        """Also flatten the maps as they lie."""
        super().for_cpu()
        self.dense5, self.flatten = _rows_first(self.dense5, 128, 3), nn.Flatten()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return box offsets [batch, 4], face probability [batch, 1], landmarks [batch, 10].

        Landmarks are five x, then five y, as fractions of the candidate's box.

        Args:
            image: float32 [batch, 3, 48, 48].
        """
        x = self.pool1(self.prelu1(self.conv1(image)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x))
        x = self.prelu5(self.dense5(self.flatten(x)))
        face = torch.softmax(self.dense6_1(x), dim=1)[:, 1:]
        return self.dense6_2(x), face, self.dense6_3(x)


class _ColumnsFirst(nn.Module):
    """[batch, channels, rows, columns] to [batch, columns * rows * channels], Caffe's order."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 2, 1).flatten(1)


def _rows_first(dense: nn.Linear, channels: int, side: int) -> nn.Linear:
    """Return a layer after `_ColumnsFirst` for [batch, channels * rows * columns] instead."""
    made = nn.Linear(dense.in_features, dense.out_features)
    weight = dense.weight.detach().reshape(-1, side, side, channels)  # [out, columns, rows, ...]
    made.weight = nn.Parameter(weight.permute(0, 3, 2, 1).flatten(1), requires_grad=False)
    made.bias = dense.bias
    return made
