"""Each network trains through the command line on tiny data, resumes, and leaves its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from emoserve_ensemble.tokens import Tokenizer
from emoserve_export import checkpoints
from emoserve_export.networks import TextNet
from emoserve_export.networks.bert import BertSize
from emoserve_training import runs
from emoserve_training.__main__ import main

Write = Callable[..., Path]
WORDS = """[PAD] [UNK] [CLS] [SEP] i hate this that is gross am so scared great it there miss him
oh my god , ! number 0 1 2 3""".split()  # noqa: SIM905
SMALL = BertSize(vocabulary=len(WORDS), positions=24, hidden=24, heads=4, layers=2, intermediate=32)


def small_tokenizer() -> Tokenizer:
    import tokenizers

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    pieces = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    pieces.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    pieces.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return Tokenizer(pieces.to_str())


@pytest.fixture
def small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A two-layer encoder in MiniLM's place, so that nothing is downloaded."""
    torch.manual_seed(0)
    body = {
        name: value.clone()
        for name, value in TextNet(SMALL, plain_layers=1).state_dict().items()
        if name.startswith("bert.") and "lora_" not in name
    }

    def weights(wheels: Path | None = None) -> Mapping[str, Tensor]:
        return dict(body)

    def small(*_: object, **__: object) -> TextNet:
        return TextNet(SMALL, plain_layers=1)

    monkeypatch.setattr(checkpoints, "encoder_weights", weights)
    monkeypatch.setitem(checkpoints.NETWORKS, "text", small)  # type: ignore[attr-defined]
    monkeypatch.setattr("emoserve_training.text.TextNet", _Factory(small))
    monkeypatch.setattr(runs, "tokenizer", small_tokenizer)


class _Factory:
    """Stands for `TextNet` where training makes one."""

    labels, sentiment_labels = TextNet.labels, TextNet.sentiment_labels

    def __init__(self, make: Callable[..., TextNet]) -> None:
        self._make = make

    def __call__(self) -> TextNet:
        return self._make()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The command sets torch's threads: put them back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def train(network: str, out: Path, *more: str | Path) -> int:
    settings = ["--batch", "8", "--threads", "1", "--seed", "11"]
    return main([network, *map(str, more), "--out", str(out), *settings])


def metadata(path: Path) -> dict[str, str]:
    with safe_open(str(path), framework="pt") as file:
        return dict(file.metadata())


@pytest.mark.usefixtures("one_thread")
def test_face(face_folders: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = face_folders(tmp_path / "faces", 3)
    out, published = tmp_path / "run", tmp_path / "published"
    assert train("face", out, "--data", data, "--epochs", "1") == 0
    assert (
        train("face", out, "--data", data, "--epochs", "2", "--resume", "--publish", published) == 0
    )
    header = metadata(published / "face.safetensors")
    assert header["network"] == "face"
    assert header["preprocessing"] == "face_pixels_v1"
    assert header["seed"] == "11"
    assert header["command"].startswith("python -m emoserve_training face --data")
    assert json.loads(header["labels"])["emotion"][3] == "happy"
    assert "accuracy, test" in capsys.readouterr().out
    card = (published / "face.md").read_text()
    assert "| happy |" in card
    assert "best epoch by validation: " in card
    assert (published / "face_confusion.png").read_bytes()[:4] == b"\x89PNG"
    checkpoint = checkpoints.load("face", published / "face.safetensors")
    assert not checkpoint.network.training
    assert main(["card", "face", "--data", str(data), "--checkpoints", str(published)]) == 0
    assert (published / "face.md").read_text() == card


@pytest.mark.usefixtures("small_encoder", "one_thread")
def test_speech_text_and_fusion(
    face_csv: Write, ravdess: Write, meld: Write, tmp_path: Path
) -> None:
    faces = face_csv(tmp_path / "faces", 3)
    voices = ravdess(tmp_path / "ravdess")
    texts = meld(tmp_path / "meld")
    where = ["--epochs", "1", "--publish", str(tmp_path / "published")]
    assert train("face", tmp_path / "face", "--data", faces, *where) == 0
    assert train("speech", tmp_path / "speech", "--data", voices, *where) == 0
    assert train("text", tmp_path / "text", "--data", texts, *where) == 0
    names = set(checkpoints_in(tmp_path / "published" / "text.safetensors"))
    assert "embed.weight" in names
    assert "bert.encoder.layer.1.output.dense.lora_a" in names
    assert not any(name.startswith("bert.") and "lora" not in name for name in names)
    folders = ["--faces", faces, "--ravdess", voices, "--meld", texts]
    folders += ["--checkpoints", tmp_path / "published"]
    assert train("fusion", tmp_path / "fusion", *folders, *where) == 0
    card = (tmp_path / "published" / "fusion.md").read_text()
    assert "| face + speech + text |" in card
    assert "paired by canonical label" in card


def checkpoints_in(path: Path) -> list[str]:
    with safe_open(str(path), framework="pt") as file:
        return list(file.keys())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["face", "--data", "nowhere", "--out", "x"], "folder of faces is needed; given: nowhere"),
        (["speech", "--data", "nowhere", "--out", "x"], "folder of ravdess is needed"),
    ],
)
def test_says_what_is_missing(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 3
    assert says in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "python -m emoserve_training face --data fer2013/" in capsys.readouterr().out
