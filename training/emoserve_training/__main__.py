"""Command line: `python -m emoserve_training face|speech|text|fusion|card`."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from emoserve_export.checkpoints import CheckpointError
from emoserve_export.wheels import WheelError
from emoserve_training import runs
from emoserve_training.loop import Settings, TrainingError

_EXAMPLES = """examples:
  python -m emoserve_training face --data fer2013/ --out runs/face
  python -m emoserve_training speech --data RAVDESS/ --out runs/speech
  python -m emoserve_training text --data MELD/data/MELD --out runs/text --resume
  python -m emoserve_training fusion --faces fer2013/ --ravdess RAVDESS/ --meld MELD/data/MELD \\
      --checkpoints runs/published --out runs/fusion
  python -m emoserve_training card face --data fer2013/ --checkpoints runs/published
  tensorboard --logdir runs

A run leaves its best weights (<network>.safetensors), a model card and a confusion matrix picture
in --out; --publish FOLDER puts them there too."""


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="python -m emoserve_training",
        description="Train emoserve's reference networks.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, says in (
        ("face", "FER2013: fer2013.csv, <split>/<class>/*.jpg or tiled sheets"),
        ("speech", "RAVDESS: Actor_NN/03-01-05-02-01-01-01.wav (or .flac)"),
        ("text", "MELD: train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv"),
    ):
        command = commands.add_parser(name, help=f"train the {name} network on {says}")
        command.add_argument("--data", type=Path, required=True, help=says)
        _add_run_options(command)
    command = commands.add_parser("fusion", help="train fusion on the three networks' embeddings")
    _add_data_folders(command, required=True)
    _add_run_options(command)
    command = commands.add_parser("card", help="measure a checkpoint again and write its card")
    command.add_argument("network", choices=list(runs.SETTINGS))
    command.add_argument("--data", type=Path, help="as in training (face, speech, text)")
    _add_data_folders(command, required=False)
    return top


def _add_data_folders(command: argparse.ArgumentParser, required: bool) -> None:
    for name in ("faces", "ravdess", "meld"):
        command.add_argument(f"--{name}", type=Path, required=required, help="data set's folder")
    command.add_argument(
        "--checkpoints", type=Path, required=required, help="folder of *.safetensors"
    )


def _add_run_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, required=True, help="folder of this run")
    command.add_argument("--publish", type=Path, help="put checkpoint and card there too")
    command.add_argument("--resume", action="store_true", help="go on from the last epoch")
    command.add_argument("--note", default="", help="a remark for the header and the card")
    command.add_argument("--epochs", type=int, help="instead of the network's own number")
    command.add_argument("--batch", type=int, help="examples in a batch")
    command.add_argument("--seed", type=int, help="of everything that is drawn")
    command.add_argument("--threads", type=int, help="that torch may use")


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 3 the data or the checkpoint cannot be used."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    command = "python -m emoserve_training " + shlex.join(given)
    try:
        if options.command == "card":
            runs.card(options.network, _folders(options), options.checkpoints)
        else:
            runs.run(
                options.command,
                _folders(options),
                _settings(options),
                runs.Place(options.out, options.publish, options.resume, command, options.note),
            )
    except (TrainingError, CheckpointError, WheelError) as err:
        print(f"emoserve_training: {err}", file=sys.stderr)
        return 3
    return 0


def _folders(options: argparse.Namespace) -> runs.Folders:
    data: Path | None = getattr(options, "data", None)
    own = {"face": "faces", "speech": "ravdess", "text": "meld"}
    named = {name: getattr(options, name, None) for name in own.values()}
    network = options.network if options.command == "card" else options.command
    if data is not None and network in own:
        named[own[network]] = data
    return runs.Folders(**named, checkpoints=getattr(options, "checkpoints", None))


def _settings(options: argparse.Namespace) -> Settings:
    names = ("epochs", "batch", "seed", "threads")
    changed = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return replace(runs.SETTINGS[options.command], **changed)


if __name__ == "__main__":
    raise SystemExit(main())
