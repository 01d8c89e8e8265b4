"""MTCNN's three networks: P-Net proposes faces, R-Net refines, O-Net decides and places landmarks.

Zhang et al. 2016, «Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks» (arXiv:1604.02878). Parameters are named as in the `facenet-pytorch` package, whose
weights (MIT) are loaded. All take RGB as (x - 127.5) / 128.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Stage(nn.Module):
    """What the three networks have in common."""

    def for_cpu(self) -> None:
        """Replace each PReLU by operators that ONNX Runtime computes 8 to 16 times as fast.

        Its own `PRelu` was half of the detector's time (docs/decisions.md 16).
        """
        for name, child in self.named_children():
            if isinstance(child, nn.PReLU):
                setattr(self, name, _PlainPReLU(child.weight.detach()))


class _PlainPReLU(nn.Module):
    """x where it is positive, else slope * x; `slope` float32 [channels]."""

    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.register_buffer("slope", slope)
        self._convex = bool((slope <= 1).all())

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [batch, channels, ...], like `x`."""
        slope = self.get_buffer("slope").reshape(-1, *[1] * (x.ndim - 2))
        if self._convex:
            return torch.maximum(x, slope * x)
        return slope * x + (1 - slope) * torch.relu(x)


class _PooledPReLU(nn.Module):
    """The largest PReLU(x) of each window, computed after pooling: of a quarter of the values.

    With L the largest and S the smallest x of a window, it is max(L, slope * L) for a slope of 0 to
    1, min(L, slope * L) above, and max(L, slope * S) below 0. S comes as -S from `_with_negatives`.

    Args:
        slope: float32 [channels].
    """

    def __init__(self, slope: Tensor, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self._pool = pool
        channels, falling = len(slope), _falling(slope)
        sign = torch.where(slope > 1, -1.0, 1.0)  # min(a, b) = -max(-a, -b)
        one, other = torch.zeros(2, channels, channels + len(falling))
        one[range(channels), range(channels)] = sign
        other[range(channels), range(channels)] = torch.where(slope < 0, 0.0, sign * slope)
        other[falling, range(channels, channels + len(falling))] = -slope[falling]
        self.register_buffer("one", one[:, :, None, None])
        self.register_buffer("other", other[:, :, None, None])
        self.register_buffer("sign", sign[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [batch, channels, rows, columns]; `x` has the negatives as well."""
        x = self._pool(x)
        one, other = (functional.conv2d(x, self.get_buffer(name)) for name in ("one", "other"))
        return torch.maximum(one, other) * self.get_buffer("sign")


def _falling(slope: Tensor) -> list[int]:
    return [index for index, value in enumerate(slope.tolist()) if value < 0]


def _with_negatives(conv: nn.Conv2d, channels: list[int]) -> nn.Conv2d:
    """Return a convolution that gives some of its channels again, with the sign turned."""
    count = conv.out_channels + len(channels)
    made = nn.Conv2d(conv.in_channels, count, conv.kernel_size)  # type: ignore[arg-type]
    assert conv.bias is not None
    with torch.no_grad():
        made.weight.copy_(torch.cat([conv.weight, -conv.weight[channels]]))
        made.bias.copy_(torch.cat([conv.bias, -conv.bias[channels]]))  # type: ignore[union-attr]
    return made


class _SecondOfTwo(nn.Module):
    """Probability of the second of two classes: logits [batch, 2, ...] to [batch, ...]."""

    def forward(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits, dim=1)[:, 1]


class _Sigmoid(nn.Module):
    """The same from the difference of the two: [batch, 1, ...] to [batch, ...]."""

    def forward(self, logit: Tensor) -> Tensor:
        return torch.sigmoid(logit)[:, 0]


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
        self.probability: nn.Module = _SecondOfTwo()

    def for_cpu(self) -> None:
        """Also pool before PReLU, and take the sigmoid of the logits' difference for the softmax.

        The maps of large pictures do not fit the processor's caches: each pass over them counts.
        """
        prelu, pool = self.prelu1, self.pool1
        assert isinstance(prelu, nn.PReLU)
        assert isinstance(pool, nn.MaxPool2d)
        slope = prelu.weight.detach()
        self.conv1 = _with_negatives(self.conv1, _falling(slope))
        self.pool1 = _PooledPReLU(slope, pool)
        self.prelu1 = nn.Identity()
        super().for_cpu()
        difference = nn.Conv2d(32, 1, 1)
        with torch.no_grad():
            for own, both in zip(difference.parameters(), self.conv4_1.parameters(), strict=True):
                own.copy_(both[1:] - both[:1])
        self.conv4_1, self.probability = difference, _Sigmoid()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return box offsets [batch, 4, rows, columns] and face probability [batch, rows, columns].

        Args:
            image: float32 [batch, 3, height, width], each side at least 12.
        """
        x = self.pool1(self.prelu1(self.conv1(image)))
        x = self.prelu2(self.conv2(x))
        x = self.prelu3(self.conv3(x))
        return self.conv4_2(x), self.probability(self.conv4_1(x))


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

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return box offsets [batch, 4] and face probability [batch, 1].

        Args:
            image: float32 [batch, 3, 24, 24].
        """
        x = self.pool1(self.prelu1(self.conv1(image)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(_columns_first(x)))
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
        x = self.prelu5(self.dense5(_columns_first(x)))
        face = torch.softmax(self.dense6_1(x), dim=1)[:, 1:]
        return self.dense6_2(x), face, self.dense6_3(x)


def _columns_first(x: Tensor) -> Tensor:
    # [batch, channels, rows, columns] -> [batch, columns * rows * channels], as Caffe laid it out
    return x.permute(0, 3, 2, 1).flatten(1)
