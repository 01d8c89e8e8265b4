"""The main job from end to end: export, start a real Triton, analyse a clip, show the answer.

python demo/run.py                 the clip is made on the spot
python demo/run.py --clip my.mp4   your own
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from emoserve_server import EmbeddedTriton

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out"
EMOSERVE = str(Path(sys.executable).with_name("emoserve"))


def run(*command: str) -> int:
    """Show a command as a user would type it, run it, and return its exit code."""
    shown = ["emoserve" if word == EMOSERVE else word for word in command]
    print(f"\n$ {shlex.join(shown)}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def demo_clip() -> tuple[Path, str]:
    """Return the clip that is made on the spot, and its transcript."""
    clip = OUT / "demo.mp4"
    if not clip.exists():
        made = run(sys.executable, "demo/make_clip.py", str(clip.relative_to(ROOT)))
        if made != 0:
            sys.exit(made)
    return clip, clip.with_suffix(".txt").read_text(encoding="utf-8").strip()


def analyze(clip: Path, transcript: str | None, url: str) -> int:
    picture = OUT / f"{clip.stem}.png"
    answer = OUT / f"{clip.stem}.json"
    options = ["--transcript", transcript] if transcript else []
    shown = str(clip.relative_to(ROOT)) if clip.is_relative_to(ROOT) else str(clip)
    outputs = ["--plot", str(picture.relative_to(ROOT)), "--json", str(answer.relative_to(ROOT))]
    return run(EMOSERVE, "analyze", shown, "--url", url, *options, *outputs)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clip", type=Path, help="a clip of your own (default: one is made)")
    clip = parser.parse_args(argv).clip
    if clip is not None and not clip.is_file():
        print(f"no such file: {clip}", file=sys.stderr)
        return 2
    OUT.mkdir(exist_ok=True)
    exported = run(EMOSERVE, "export")
    if exported != 0:
        return exported
    clip, transcript = (clip.resolve(), None) if clip else demo_clip()
    print("\n$ emoserve serve &", flush=True)
    with EmbeddedTriton(
        ROOT / "model_repository", http_port=0, grpc_port=0, metrics_port=0
    ) as triton:
        return analyze(clip, transcript, f"grpc://{triton.grpc_url}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
