"""A Whisper of the real architecture, two layers deep, with random weights, for CTranslate2."""

import json
from pathlib import Path

import numpy as np
from ctranslate2.specs import whisper_spec
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

WIDTH, HEADS, LAYERS, MELS, FRAMES, POSITIONS = 64, 2, 2, 80, 1500, 448
LANGUAGES = ("en", "de")


def special_tokens() -> list[str]:
    times = [f"<|{index * 0.02:.2f}|>" for index in range(1501)]
    tasks = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    named = ["endoftext", "startoftranscript", *LANGUAGES, *tasks]
    return [f"<|{name}|>" for name in named] + times


def write_tokenizer(path: Path) -> int:
    """Write a byte-level tokenizer without merges; return its size."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[])
    tokenizer = Tokenizer(pieces)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in special_tokens()])
    tokenizer.save(str(path))
    return int(tokenizer.get_vocab_size())


def write(folder: Path, seed: int = 0) -> None:
    """Write `model.bin`, `config.json`, `vocabulary.json` and `tokenizer.json`."""
    folder.mkdir(parents=True)
    size = write_tokenizer(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    spec = whisper_spec.WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    draw = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return draw.normal(0, 0.05, shape).astype(np.float32)

    def norm(layer) -> None:
        layer.gamma, layer.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def linear(layer, out: int, into: int) -> None:
        layer.weight, layer.bias = weights(out, into), weights(out)

    def attention(layer, own: bool) -> None:
        norm(layer.layer_norm)
        widths = [3 * WIDTH, WIDTH] if own else [WIDTH, 2 * WIDTH, WIDTH]
        for part, width in zip(layer.linear, widths, strict=True):
            linear(part, width, WIDTH)

    def feed_forward(layer) -> None:
        norm(layer.layer_norm)
        linear(layer.linear_0, 4 * WIDTH, WIDTH)
        linear(layer.linear_1, WIDTH, 4 * WIDTH)

    encoder, decoder = spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = weights(WIDTH, MELS, 3), weights(WIDTH)
    encoder.conv2.weight, encoder.conv2.bias = weights(WIDTH, WIDTH, 3), weights(WIDTH)
    encoder.position_encodings.encodings = weights(FRAMES, WIDTH)
    for layer in encoder.layer:
        attention(layer.self_attention, own=True)
        feed_forward(layer.ffn)
    norm(encoder.layer_norm)
    decoder.embeddings.weight = weights(size, WIDTH)
    decoder.scale_embeddings = False
    decoder.position_encodings.encodings = weights(POSITIONS, WIDTH)
    for layer in decoder.layer:
        attention(layer.self_attention, own=True)
        attention(layer.attention, own=False)
        feed_forward(layer.ffn)
    norm(decoder.layer_norm)
    # Random weights say nothing: lean towards letters and spaces, so that there are words to time.
    decoder.embeddings.weight[:, 0] = -1.0
    for letter in ("Ġ", *"etaoinsr"):
        decoder.embeddings.weight[tokenizer.token_to_id(letter), 0] = 1.0
    decoder.layer_norm.beta[0] = 4.0
    decoder.projection.weight = decoder.embeddings.weight
    spec.register_vocabulary([tokenizer.id_to_token(index) for index in range(size)])
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [], []
    spec.config.lang_ids = [tokenizer.token_to_id(f"<|{name}|>") for name in LANGUAGES]
    spec.config.alignment_heads = [[1, 0], [1, 1]]
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    assert json.loads((folder / "config.json").read_text())["alignment_heads"]
