"""Draw how the face detector does on counted photographs: docs/figures/detector.svg.

    python docs/figures/detector.py FOLDER_OF_PHOTOS

The folder's README.md has a table `| file | faces |`; only counts are drawn, no photograph.
"""

import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from emoserve_ensemble.detection import DetectorSettings, find_faces
from emoserve_ensemble.images import decode_image
from emoserve_ensemble.limits import Limits
from emoserve_ensemble.networks import LocalNetworks

ROOT = Path(__file__).resolve().parent.parent.parent
NETWORKS = ("face_pnet", "face_rnet", "face_onet")
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def main(folder: Path) -> None:
    networks = LocalNetworks(ROOT / "model_repository", NETWORKS)
    rows = re.findall(r"^\| (\S+\.jpg) \| (\d+) \|", (folder / "README.md").read_text(), re.M)
    counts = {name: int(count) for name, count in rows}
    pictures = {name: decode_image((folder / name).read_bytes(), Limits()) for name in counts}
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(3, 2))
    found = {name: len(find_faces([pictures[name]], networks)[0]) for name in counts}
    place = np.arange(len(counts))
    left.barh(place - 0.2, list(counts.values()), 0.38, color="#94a3b8", label="counted by eye")
    left.barh(place + 0.2, list(found.values()), 0.38, color="#1d4ed8", label="found")
    left.set_yticks(place, [name.removesuffix(".jpg") for name in counts], fontsize=8)
    left.invert_yaxis()
    left.set_xlabel("faces")
    left.legend(frameon=False)
    for border, colour in ((0.0, "#b45309"), (0.1, "#1d4ed8")):
        points = [rates(pictures, counts, networks, border, threshold) for threshold in THRESHOLDS]
        recall, precision = zip(*points, strict=True)
        label = "with the grey frame" if border else "without a frame"
        right.plot(recall, precision, "o-", color=colour, label=label)
    right.axhline(0.97, color="#94a3b8", lw=0.8, ls="--")
    right.axvline(0.95, color="#94a3b8", lw=0.8, ls="--")
    right.set_xlabel("recall")
    right.set_ylabel("precision")
    right.set_title(f"O-Net threshold {THRESHOLDS[0]} to {THRESHOLDS[-1]}", fontsize=10)
    right.legend(frameon=False, loc="lower left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


def rates(pictures, counts, networks, border: float, threshold: float) -> tuple[float, float]:
    """Return recall and precision by counts."""
    settings = DetectorSettings(thresholds=(0.7, 0.7, threshold), border=border)
    found = {n: len(find_faces([p], networks, settings)[0]) for n, p in pictures.items()}
    hits = sum(min(found[name], count) for name, count in counts.items())
    return hits / sum(counts.values()), hits / max(sum(found.values()), 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
