"""What README.md and docs/ have their readers type, done on a tiny corpus: a verified pair, back-ends, augmentation."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pages.code_of_pages import code_of, pages
from pages.sandbox import Ran, copy_repository, run_commands
from pages.warm_python import warm_python
from recipes.small_system import SMALL_OPTIONS
from recipes.speech import RATE, buzz, make_corpus

from spk.data.data_dir import read_table
from spk.data.scores import read_scores

EXP = "exp/espeak/fast_resnet34_dam"
OPTIONS = " ".join([*SMALL_OPTIONS, f"--exp=egs/mini/{EXP}", "--with-baseline=false", "--nj=1"])


def shell_of(page: str, containing: str) -> str:
    """The one block of a page with these words."""
    (block,) = [code.text for code in code_of(page) if code.language == "sh" and containing in code.text]
    return block


def succeed(ran: list[Ran]) -> list[Ran]:
    assert [str(one) for one in ran if one.status] == []
    return ran


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return copy_repository(tmp_path_factory.mktemp("in_earnest"))


@pytest.fixture(scope="module")
def python(root):
    with warm_python(root) as environment:
        yield environment


@pytest.fixture(scope="module")
def mini(root, python) -> Path:
    """egs/mini with a system that two epochs trained on buzzes, where the default corpus would be."""
    mini = root / "egs/mini"
    make_corpus(mini / "corpus/espeak", train_speakers=8, test_speakers=4, utterances=5, seconds=1.5)
    succeed(run_commands(f"./run.sh --stage 1 --backends own {OPTIONS}", root, python))
    return mini


@pytest.fixture
def work(mini, tmp_path) -> Path:
    """That system by the names of docs/backends.md: data/{train,test,enroll}, exp/{x,y}."""
    shutil.copytree(mini / "data/espeak", tmp_path / "data", ignore=shutil.ignore_patterns("feats"))
    test = tmp_path / "data/test_espeak"
    for name in ("test", "enroll"):
        shutil.copytree(test, tmp_path / "data" / name)
    models, of_utterances = read_table(test / "spk2utt"), read_table(test / "utt2spk")
    lines = [
        f"{model} {utterance} {'target' if model == speaker else 'nontarget'}\n"
        for model in models
        for utterance, speaker in of_utterances.items()
        if utterance not in models[model].split()[:2]
    ]
    (tmp_path / "data/test/trials_models").write_text("".join(lines))
    first_two = [f"{model} {' '.join(utterances.split()[:2])}\n" for model, utterances in models.items()]
    (tmp_path / "data/enroll/spk2utt").write_text("".join(first_two))
    for system in ("x", "y"):
        exp = tmp_path / "exp" / system
        shutil.copytree(mini / EXP, exp, ignore=shutil.ignore_patterns("checkpoints", "held_out*", "calibration"))
        for name in ("test", "enroll", "unlabelled"):
            (exp / f"embeddings_{name}").symlink_to("embeddings_test_espeak")
        for suffix in ("", ".json"):
            (exp / f"scores_test_cosine{suffix}").symlink_to(f"scores_test_espeak_cosine{suffix}")
    return tmp_path


def test_the_way_of_a_new_user_ends_with_a_decision_on_two_recordings(mini, root, python):
    block = shell_of("README.md", "spk verify")
    for number, name in enumerate(re.findall(r"\S+\.flac", block)):
        path = mini / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, buzz(20, 1.5, np.random.default_rng(number)), RATE)
    block = re.sub(r"^(\./run\.sh .*)$", rf"\1 {OPTIONS}", block, flags=re.MULTILINE)
    said = succeed(run_commands(block, root, python))[-1].said
    assert re.search(r"^score +-?\d\.\d+ +\(cosine\)$", said, flags=re.MULTILINE)
    assert re.search(r"^llr +-?\d+\.\d+ ", said, flags=re.MULTILINE)
    assert re.search(r"^decision +(the same speaker|different speakers) ", said, flags=re.MULTILINE)


def test_the_plda_commands_of_the_page_on_back_ends(work, python):
    succeed(run_commands(shell_of("docs/backends.md", "adapt_plda"), work, python))
    names = {path.name for path in (work / "exp/x").glob("backend_*")}
    assert {"backend_plda", "backend_adapted", "backend_coral"} <= names
    trials = (work / "data/test/trials_models").read_text().splitlines()
    assert len((work / "exp/x/scores_test_models_plda").read_text().splitlines()) == len(trials)


def test_the_calibration_commands_of_the_page_on_back_ends(work, python):
    succeed(run_commands(shell_of("docs/backends.md", "calibrate exp/x/calibration"), work, python))
    of_y = "held_out_trials exp/y data/train exp/y/held_out && score exp/y/held_out/trials \\\n"
    of_y += "  exp/y/embeddings_train exp/y/embeddings_train exp/y/held_out/scores"
    succeed(run_commands(of_y, work, python))
    succeed(run_commands(shell_of("docs/backends.md", "exp/fusion"), work, python))
    before = read_scores(work / "exp/x/scores_test_cosine")
    for path in (work / "exp/x/scores_test_calibrated_cosine", work / "exp/fusion/scores_test_fusion"):
        after = read_scores(path)
        assert len(after.values) == len(before.values) and np.isfinite(after.values).all()
    description = json.loads((work / "exp/fusion/calibration.json").read_text())
    assert description["backends"] == ["cosine", "cosine"] and description["quality"] == ["duration"]


def test_the_commands_of_the_page_on_metrics(work, python):
    for name in ("SCORES", "SCORES_A", "SCORES_B"):
        shutil.copy(work / "exp/x/scores_test_cosine", work / name)
    for table in ("trials", "utt2spk"):
        shutil.copy(work / "data/test" / table, work / table)
    (work / "trials").rename(work / "TRIALS")
    (work / "path.sh").write_text("")
    ran = succeed(run_commands(shell_of("docs/metrics.md", "spk.bin.compare"), work, python))
    assert "EER" in ran[1].said and "95" in ran[1].said and "EER" in ran[2].said


def test_the_plan_of_the_page_on_augmentation(mini, root, python):
    for number in range(4):
        random = np.random.default_rng(number)
        for name, samples in (
            (f"noise/hum/{number}.wav", 0.1 * random.standard_normal(16000)),
            (f"rir/{number}.wav", 0.1 * random.standard_normal(1600) * np.exp(-np.arange(1600) / 200)),
        ):
            (root / "DIR" / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(root / "DIR" / name, samples, RATE)
    shutil.copytree(mini / "data/espeak/train", root / "data/train", ignore=shutil.ignore_patterns("feats", "split*"))
    lines = [line for line in shell_of("docs/augmentation.md", "prepare_rirs").splitlines() if "noise_folders" in line]
    succeed(run_commands(lines[0], root, python))
    for name in ("musan_noise", "musan_music", "musan_speech"):
        (root / "data" / name).symlink_to("noise_train")
    (root / "data/rirs").symlink_to("rir_train")
    succeed(run_commands(shell_of("docs/augmentation.md", "--babble"), root, python))
    clean, copies, together = (
        set(read_table(root / "data" / name / "feats.scp")) for name in ("train", "train_copies", "train_augmented")
    )
    assert len(copies) == 4 * len(clean) and together == clean | copies


def test_waveforms_become_embeddings_as_the_page_on_performance_says(mini, tmp_path, python):
    (code,) = [code.text for code in code_of("docs/performance.md") if code.language == "python"]
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp/fast_resnet34_dam").symlink_to(mini / EXP)
    np.save(tmp_path / "waves.npy", [buzz(speaker, 1.0, np.random.default_rng(0)) for speaker in (1, 2)])
    begin = "import numpy\nwave, other_wave = numpy.load('waves.npy')\n"
    end = "print(embeddings.shape, embeddings.dtype)\n"
    (tmp_path / "page.py").write_text(begin + code + end)
    (ran,) = succeed(run_commands("python3 page.py", tmp_path, python))
    assert ran.last_line == "(2, 16) float32"


def test_every_page_with_python_has_a_test():
    with_python = {page for page in pages() if any(code.language == "python" for code in code_of(page))}
    assert with_python <= {"docs/performance.md", "docs/add_a_loss.md", "docs/model_in_use.md"}
