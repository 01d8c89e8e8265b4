from emoserve_ensemble.transcripts import share_out


def test_one_utterance_gets_all() -> None:
    assert share_out("so  it\ngoes", [2.0]) == ["so it goes"]


def test_sentences_stay_whole_where_they_nearly_fit() -> None:
    text = "What a day! I am so very happy. Go away now."
    assert share_out(text, [1.0, 2.0, 1.0]) == [
        "What a day!",
        "I am so very happy.",
        "Go away now.",
    ]


def test_every_word_comes_once_and_in_order() -> None:
    words = [f"w{index}" for index in range(17)]
    texts = share_out(" ".join(words), [1.0, 0.2, 3.0, 0.5])
    assert " ".join(texts).split() == words


def test_fewer_words_than_utterances_leaves_some_empty() -> None:
    texts = share_out("hello", [1.0, 1.0, 1.0])
    assert "".join(texts) == "hello"
    assert len(texts) == 3


def test_nobody_to_share_with() -> None:
    assert share_out("hello", []) == []
