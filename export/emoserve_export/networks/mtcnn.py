"""MTCNN's three networks: P-Net proposes faces, R-Net refines, O-Net decides and places landmarks.

Zhang et al. 2016, «Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks» (arXiv:1604.02878). Parameters are named as in the `facenet-pytorch` package, whose
weights (MIT) are loaded. All take RGB as (x - 127.5) / 128.
"""

import torch
from torch import Tensor, nn


class PNet(nn.Module):
    """Faces of 12 pixels at every second pixel of a picture of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return box offsets [batch, 4, rows, columns] and face probability [batch, rows, columns].

        Args:
            image: float32 [batch, 3, height, width], each side at least 12.
        """
        x = self.pool1(self.prelu1(self.conv1(image)))
        x = self.prelu2(self.conv2(x))
        x = self.prelu3(self.conv3(x))
        face = torch.softmax(self.conv4_1(x), dim=1)[:, 1]
        return self.conv4_2(x), face


class RNet(nn.Module):
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


class ONet(nn.Module):
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
