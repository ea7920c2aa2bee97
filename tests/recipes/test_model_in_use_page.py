"""docs/model_in_use.md: every command and every line of Python on the page is run, and every option it names exists."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from in_process import runner, succeed

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit/verification"))
from small_verifier import calibrated, noise, small_system, write_wave

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/model_in_use.md").read_text(encoding="utf-8")
BLOCKS = [block.replace("\n    ", "\n").strip() for block in re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", PAGE, re.M)]
PYTHON = ("import ", "from ")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The systems and recordings that the page speaks of."""
    small_system(tmp_path / "exp/x")
    calibrated(small_system(tmp_path / "exp/calibrated"), weight=10.0, offset=-3.0)
    for seed, name in enumerate(("ann1.wav", "ann2.flac", "bob.mp3", "unknown.wav")):
        write_wave(tmp_path / name, noise(2, seed))
    return tmp_path


def test_every_command_on_the_page_works(work, monkeypatch, capsys, caplog):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    run = runner(work, monkeypatch, capsys, caplog)
    shown = []
    for block in BLOCKS:
        if block.startswith(PYTHON):
            exec(compile(block, "docs/model_in_use.md", "exec"), {})
            continue
        for line in block.splitlines():
            if line.startswith("spk "):
                shown.append((line, succeed(run, line)))
            elif line:
                assert line.split()[0] in ("score", "llr", "decision"), f"neither a command nor its answer: {line}"
    answers = dict(shown)
    assert len(answers) >= 18
    assert answers["spk gallery list gallery"] == "Ann\t2\nBob B.\t1\n"
    verified = [text for line, text in shown if line.startswith("spk verify") and "ann1.wav ann2.flac" in line]
    of_both = [text.splitlines()[0] for text in verified]  # by the directory and by the file of export
    assert len(of_both) == 2 and of_both[0] == of_both[1]
    (said,) = (json.loads(text) for line, text in shown if line.startswith("spk verify") and "--json" in line)
    assert said["threshold"] == pytest.approx(np.log(99), abs=5e-3) and f"{said['threshold']:.2f} is needed" in PAGE
    assert {path.name for path in (work / "embeddings").iterdir()} >= {"embedding.ark", "embedding.scp"}


def test_the_answer_on_the_page_has_the_form_of_a_real_one(work, monkeypatch, capsys, caplog):
    (shown,) = (block for block in BLOCKS if block.startswith("score "))
    real = succeed(runner(work, monkeypatch, capsys, caplog), "spk verify exp/x ann1.wav ann2.flac")
    without_score = [re.sub(r"-?\d\.\d{6}", "SCORE", text).strip() for text in (shown, real)]
    assert without_score[0] == without_score[1]


def test_every_option_on_the_page_is_one_of_the_commands(work, monkeypatch, capsys, caplog):
    run = runner(work, monkeypatch, capsys, caplog)
    helps = "".join(succeed(run, f"spk {name} --help") for name in ("embed", "verify", "enroll", "identify", "export"))
    recipe = (ROOT / "egs/mini/run.sh").read_text() + (ROOT / "steps/score").read_text()
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)):
        assert option in helps + recipe, f"{option} is an option of nothing that the page speaks of"
