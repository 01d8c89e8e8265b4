"""Draw profiles, one above the other, on one scale.

    py-spy record -f raw -r 200 -o before.txt -- python SCRIPT
    python docs/figures/flame.py before.txt after.txt --runs 40 62 \\
        --root clip.analyze_clip -o docs/figures/flame.png

A box is a function of ours, its width the time in it for one run of the work (libraries it calls
included), its callees above it.
"""

import argparse
import re
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OURS = "emoserve_ensemble"
COLOURS = {"detection": "#1d4ed8", "networks": "#b45309", "transcription": "#7c3aed"}
FRAME = re.compile(r"^(?P<function>.+?) \((?P<file>[^():]*)(:\d+)?\)$")


def stacks(path: Path, root: str) -> dict[tuple[str, ...], int]:
    """Return samples by stack, outermost first and within `root`, from py-spy's raw format."""
    counted: dict[tuple[str, ...], int] = defaultdict(int)
    for line in path.read_text(encoding="utf-8").splitlines():
        frames, _, count = line.rpartition(" ")
        named = [name for name in map(label, frames.split(";")) if name]
        short = tuple(name for i, name in enumerate(named) if i == 0 or name != named[i - 1])
        if short and short[0] == root:
            counted[short] += int(count)
    return counted


def label(frame: str) -> str:
    """Return `module.function` of our frames, "" for others."""
    match = FRAME.match(frame)
    if match is None or OURS not in match["file"]:
        return ""
    function = match["function"].removeprefix("<").removesuffix(">")
    return f"{Path(match['file']).stem}.{function}"


def draw(axes, counted: dict[tuple[str, ...], int], ms: float, widest_ms: float) -> None:
    """Draw one profile; `ms` is what one sample stands for."""
    axes.set_xlim(0, widest_ms)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    grow(axes, counted, ms, (), 0.0)


def grow(axes, counted, ms: float, prefix: tuple[str, ...], left_ms: float) -> None:
    """Draw the boxes of what `prefix` calls, and above them what they call."""
    depth = len(prefix)
    for name in sorted({stack[depth] for stack in counted if stack_within(stack, prefix)}):
        inner = (*prefix, name)
        width_ms = ms * sum(n for stack, n in counted.items() if stack[: depth + 1] == inner)
        colour = COLOURS.get(name.split(".")[0], "#64748b")
        axes.barh(depth, width_ms, 0.92, left_ms, align="edge", color=colour, edgecolor="white")
        if width_ms > axes.get_xlim()[1] * len(name) / 150:
            middle = (left_ms + width_ms / 2, depth + 0.46)
            axes.text(*middle, name, ha="center", va="center", size=6.5, color="white")
        grow(axes, counted, ms, inner, left_ms)
        left_ms += width_ms


def stack_within(stack: tuple[str, ...], prefix: tuple[str, ...]) -> bool:
    """Tell whether a stack goes on beyond `prefix`."""
    return len(stack) > len(prefix) and stack[: len(prefix)] == prefix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw", type=Path, nargs="+", help="py-spy's raw profiles, before and after")
    parser.add_argument("--runs", type=float, nargs="+", required=True, help="runs of the work")
    parser.add_argument("--root", required=True, help="the work: module.function")
    parser.add_argument("--rate", type=float, default=200, help="py-spy's samples a second")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    profiles = [stacks(path, args.root) for path in args.raw]
    scales = [1000 / args.rate / runs for runs in args.runs]
    totals = [ms * sum(p.values()) for p, ms in zip(profiles, scales, strict=True)]
    figure, all_axes = plt.subplots(len(profiles), 1, figsize=(11, 3.3 * len(profiles)))
    for axes, path, profile, ms, total in zip(
        all_axes, args.raw, profiles, scales, totals, strict=True
    ):
        draw(axes, profile, ms, max(totals))
        axes.set_title(f"{path.stem}: {total:.0f} ms", size=10, loc="left")
    all_axes[-1].set_xlabel("milliseconds of one run")
    figure.tight_layout()
    figure.savefig(args.out, dpi=130)


if __name__ == "__main__":
    main()
