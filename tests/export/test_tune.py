"""`--tune`: what is measured, what is taken, what is shown."""

from pathlib import Path

import pytest
from rich.console import Console

from emoserve_export import cli
from emoserve_export.conversion import Converted, convert
from emoserve_export.declaration import PRECISIONS, Network
from emoserve_export.samples import Samples
from emoserve_export.tune import Trial, fastest, tune
from emoserve_export.tune_report import plot_trials, trials_table


def test_tuning_knows_speed_and_accuracy_of_every_candidate(
    converted: Converted, samples: Samples, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    trials = tune(converted, samples)
    assert tuple(trial.precision for trial in trials) == PRECISIONS
    base = trials[0]
    assert base.metric == 1.0
    assert base.speed == {1: 1.0, 8: 1.0}
    assert base.problem == ""
    assert all(trial.metric is not None and trial.score > 0 for trial in trials)
    assert trials[2].size_bytes < base.size_bytes * 2
    console = Console(width=140)
    with console.capture() as shown:
        console.print(trials_table("tiny_net", trials))
    assert "int8_static" in shown.get()
    assert "published" in shown.get()
    plot_trials("tiny_net", trials, tmp_path / "plots" / "tiny_net.png")
    assert (tmp_path / "plots" / "tiny_net.png").read_bytes()[1:4] == b"PNG"


def test_what_a_step_would_not_load_is_not_published(
    converted: Converted, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr("emoserve_ensemble.networks.LEAST_COSINE", 1.1)
    problems = {trial.precision: trial.problem for trial in tune(converted, samples)}
    refused = "a step would not load it: emotion, embedding of its golden request"
    assert problems["openvino_int8"] == problems["openvino_bf16"] == refused
    assert problems["fp32"] == problems["int8_dynamic"] == ""


def trial(name: str, speed: float, problem: str = "") -> Trial:
    return Trial(name, speed={1: speed, 8: speed}, problem=problem)  # type: ignore[arg-type]


def test_the_fastest_inside_the_budget_wins() -> None:
    base = trial("fp32", 1.0)
    assert fastest([base, trial("fp16", 1.5), trial("int8_static", 2.0)]).precision == "int8_static"
    refused = trial("int8_static", 2.0, "cosine 0.5 below 0.9")
    assert fastest([base, trial("fp16", 1.5), refused]).precision == "fp16"
    assert fastest([base, trial("fp16", 1.02), refused]).precision == "fp32"


def test_openvino_is_taken_where_it_is_worth_another_package() -> None:
    base, plain = trial("fp32", 1.0), trial("int8_static", 2.0)
    assert fastest([base, plain, trial("openvino_int8", 2.2)]).precision == "openvino_int8"
    assert fastest([base, plain, trial("openvino_int8", 2.05)]).precision == "int8_static"
    assert fastest([base, trial("openvino_bf16", 1.06)]).precision == "openvino_bf16"


def test_without_samples_tuning_says_what_it_could_not_try(
    tiny: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    trials = tune(convert(tiny), None)
    assert "needs real data" in trials[3].problem
    assert trials[0].metric is None
    console = Console(width=200)
    with console.capture() as shown:
        console.print(trials_table("tiny_net", trials))
    assert "pip install 'emoserve[openvino]'" in shown.get()


def test_the_command_shows_what_was_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--repository", str(tmp_path / "repo"), "--tune", "--plots", str(tmp_path / "plots")]
    assert cli.main([*options, "face_rnet"]) == 0
    shown = capsys.readouterr().out
    assert "face_rnet: precisions on this machine" in shown
    assert "int8_dynamic" in shown
    assert (tmp_path / "plots" / "face_rnet.png").is_file()
