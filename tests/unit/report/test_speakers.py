"""Whose trials they are: with enrolled models as with single utterances, by tables that lie beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spk.data.trials import read_trials
from spk.errors import InputError
from spk.report.speakers import enroll_models_of, read_tables, speaker_tables, speakers_of_trials

TRIALS = """\
m1 a-3 target
m1 b-3 nontarget
m2 b-3 target
m2 c-3 nontarget
"""
MODELS = "m2 b-1\nm1 a-1 a-2\nm9 c-1\n"
SPEAKERS = "a-1 a\na-2 a\na-3 a\nb-1 b\nb-3 b\nc-3 c\n"  # nobody knows c-1 of m9, which is in no trial


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("trials", TRIALS), ("models", MODELS), ("utt2spk", SPEAKERS)):
        (tmp_path / name).write_text(text)
    return tmp_path


def pairs(trials: str = "trials", tables: tuple[str, ...] = ("utt2spk",), models: str = "models") -> list[tuple]:
    """The speakers of every trial, as numbers in the order of appearance: first of all models, then of all tests."""
    enroll, test = speakers_of_trials(read_trials(trials), tables, models)
    return list(zip(enroll.tolist(), test.tolist(), strict=True))


def test_a_model_is_of_the_speaker_of_its_utterances(folder):
    a, b, c = 0, 1, 2
    assert pairs() == [(a, a), (a, b), (b, b), (b, c)]


def test_a_table_may_name_the_speakers_of_models_that_have_none_by_their_utterances(folder):
    (folder / "utt2spk").write_text(SPEAKERS.replace("a-1 a\na-2 a\n", "m1 a\n"))
    assert pairs() == [(0, 0), (0, 1), (1, 1), (1, 2)]


def test_a_target_in_a_recording_of_another_speaker_is_the_model_s(folder):
    (folder / "trials").write_text(TRIALS + "m1 c-3 target\n")
    assert pairs()[-1] == (0, 0)
    with pytest.raises(InputError, match="line 5, 'a-1 c-3', is target, but its speakers are 'a' and 'c'"):
        (folder / "trials").write_text((folder / "trials").read_text().replace("m1", "a-1").replace("m2", "b-1"))
        pairs(models="")


def test_speakers_of_other_trials_are_refused(folder):
    """Each test a speaker of its own, say: then no target trial agrees."""
    (folder / "utt2spk").write_text(SPEAKERS.replace("a-3 a", "a-3 x").replace("b-3 b", "b-3 y"))
    with pytest.raises(InputError, match="line 1, 'm1 a-3', is target, but its speakers are 'a' and 'x'; 2 trials"):
        pairs()


def test_a_nontarget_trial_of_one_speaker_is_refused_with_models_as_without(folder):
    (folder / "trials").write_text(TRIALS + "m1 a-1 nontarget\n")
    with pytest.raises(InputError, match="line 5, 'm1 a-1', is nontarget, but its speakers are 'a' and 'a'"):
        pairs()


def test_models_of_several_or_of_unknown_speakers_are_named(folder):
    (folder / "models").write_text("m1 a-1 b-3\nm2 b-1\n")
    with pytest.raises(InputError, match="models: 1 models of several speakers: m1"):
        pairs()
    (folder / "models").write_text("m1 a-1 who\nm2 b-1\n")
    with pytest.raises(InputError, match="1 of 5 utterances have no speaker, as 'm1'"):
        pairs()


def test_tables_lie_beside_the_trials_and_beside_the_models(folder):
    (folder / "enroll").mkdir()
    (folder / "models").rename(folder / "enroll" / "spk2utt")
    (folder / "enroll" / "utt2spk").write_text("a-1 a\na-2 a\nb-1 b\n")
    (folder / "utt2spk").write_text("a-3 a\nb-3 b\nc-3 c\n")
    tables = speaker_tables("trials", "enroll/spk2utt")
    assert tables == [Path("utt2spk"), Path("enroll/utt2spk")]
    assert pairs(tables=tables, models="enroll/spk2utt") == [(0, 0), (0, 1), (1, 1), (1, 2)]
    assert speaker_tables("trials", "models") == [Path("utt2spk")], "the same folder: once"
    assert speaker_tables("elsewhere/trials", "") == []


def test_tables_that_contradict_each_other_are_refused(folder):
    (folder / "other").write_text("c-3 c\na-3 z\n")
    with pytest.raises(InputError, match="other: 'a-3' is 'z' here and 'a' in an earlier file"):
        read_tables(["utt2spk", "other"])


def test_the_models_of_scores_are_those_that_their_description_names(folder, monkeypatch):
    assert enroll_models_of("scores") == "", "scores from elsewhere have no description"
    for text, expected in (
        ("{", ""),
        ("[]", ""),
        (json.dumps({"enroll_models": None}), ""),
        (json.dumps({"enroll_models": "models"}), "models"),
        (json.dumps({"enroll_models": "models", "directory": "/nowhere"}), "models"),
    ):
        (folder / "scores.json").write_text(text)
        assert enroll_models_of("scores") == expected
    (folder / "scores.json").write_text(json.dumps({"enroll_models": "models", "directory": str(folder)}))
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert enroll_models_of("../scores") == str(folder / "models")
