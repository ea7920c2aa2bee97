"""Folders of speech as data directories: what is made of them, and every way in which one can be wrong."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from spk.data.speaker_folders import draw_split, read_folders
from spk.errors import InputError


def speech(folder: Path, *recordings: str) -> Path:
    """A folder with these (empty) files below wav/."""
    for recording in recordings:
        path = folder / "wav" / recording
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def names(speakers: Iterable[str], sessions: int = 2, utterances: int = 2, suffix: str = "wav") -> list[str]:
    return [
        f"{speaker}/s{session}/{utterance}.{suffix}"
        for speaker, session, utterance in itertools.product(speakers, range(sessions), range(utterances))
    ]


def table(folder: Path, *lines: str) -> Path:
    (folder / "speakers.tsv").write_text("".join(line.replace(" ", "\t") + "\n" for line in lines))
    return folder


def prepare(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spk.bin.prepare_speaker_folders", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def done(*arguments: object) -> str:
    finished = prepare(*arguments)
    assert finished.returncode == 0, finished.stderr
    return finished.stderr


def error(*arguments: object) -> str:
    """The one line with which the command refuses."""
    finished = prepare(*arguments)
    assert finished.returncode == 1 and "Traceback" not in finished.stderr, finished.stderr
    assert len(finished.stderr.splitlines()) == 1, finished.stderr
    return finished.stderr.strip()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Two training and two test speakers of known gender."""
    folder = speech(tmp_path / "four", *names(["a1", "a2", "b1", "b2"]))
    lines = ["a1 x train m", "a2 x test f", "b1 x train f", "b2 x test m"]
    return table(folder, "speaker age split gender", *lines)


# ---- what is made


def test_the_tables_are_kaldis(tmp_path, four):
    done(four, tmp_path / "data")
    data = tmp_path / "data" / "train"
    wav = [f"{s}-s{i}-{u} {four}/wav/{s}/s{i}/{u}.wav\n" for s in ("a1", "b1") for i in (0, 1) for u in (0, 1)]
    assert (data / "wav.scp").read_text() == "".join(wav)
    utt2spk = [f"{s}-s{i}-{u} {s}\n" for s in ("a1", "b1") for i in (0, 1) for u in (0, 1)]
    assert (data / "utt2spk").read_text() == "".join(utt2spk)
    assert (data / "spk2utt").read_text() == "".join(f"{s} {s}-s0-0 {s}-s0-1 {s}-s1-0 {s}-s1-1\n" for s in ("a1", "b1"))
    assert (data / "spk2gender").read_text() == "a1 m\nb1 f\n"
    assert not (data / "trials").exists()


def test_the_test_speakers_make_all_trials_of_their_folder(tmp_path, four):
    done(four, tmp_path / "data")
    utterances = [f"{s}-s{i}-{u}" for s in ("a2", "b2") for i in (0, 1) for u in (0, 1)]
    expected = {
        (*pair, "target" if pair[0][:2] == pair[1][:2] else "nontarget")
        for pair in itertools.combinations(utterances, 2)
    }
    trials = [tuple(line.split()) for line in (tmp_path / "data/test_four/trials").read_text().splitlines()]
    assert len(trials) == len(expected) == 28 and set(trials) == expected
    assert (tmp_path / "data/test_four/spk2utt").read_text().startswith("a2 a2-s0-0 ")


def test_several_folders_train_together_and_are_tested_each_by_itself(tmp_path, four):
    other = speech(tmp_path / "other", *names(["c1", "c2", "c3"], suffix="flac"))
    table(other, "speaker split", "c1 train", "c2 test", "c3 test")
    said = done(f"{four},{other}", tmp_path / "data")
    data = tmp_path / "data"
    assert sorted(path.name for path in data.iterdir()) == [".done", "test_four", "test_other", "train"]
    assert [line.split()[0] for line in (data / "train/spk2utt").read_text().splitlines()] == ["a1", "b1", "c1"]
    assert "c2-s0-0 c3-s1-1 nontarget\n" in (data / "test_other/trials").read_text()
    assert "c2" not in (data / "test_four/trials").read_text()
    assert "the gender of 1 speakers is unknown" in said
    assert not (data / "train/spk2gender").exists() and (data / "test_four/spk2gender").exists()


def test_the_order_of_the_tables_is_that_of_bytes(tmp_path):
    folder = speech(tmp_path / "x", *names(["B", "a", "Z1", "é", "b"], sessions=1))
    table(folder, "speaker split", "B train", "a train", "Z1 train", "é test", "b test")
    done(folder, tmp_path / "data")
    content = (tmp_path / "data/train/utt2spk").read_bytes()
    assert content.splitlines() == sorted(content.splitlines())
    assert [line.split()[0] for line in (tmp_path / "data/test_x/spk2utt").read_bytes().splitlines()] == [
        b"b",
        "é".encode(),
    ]


def test_a_relative_folder_with_a_slash_at_the_end_gives_absolute_paths(tmp_path, four, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    done("four/", "data")
    assert (tmp_path / "data/train/wav.scp").read_text().split()[1] == f"{four}/wav/a1/s0/0.wav"
    assert (tmp_path / "data/test_four").is_dir()


def test_files_that_are_no_recordings_are_counted_and_named(tmp_path, four):
    speech(four, "a1/s0/notes.txt", "a1/s0/.hidden.wav", "README", "nobody/s0/x.mp3", "a1/s0/deeper/x.wav")
    said = done(four, tmp_path / "data")
    assert "left out 6 entries that are no recordings" in said  # the speaker without recordings is one of them
    assert "README" in said
    assert len((tmp_path / "data/train/wav.scp").read_text().splitlines()) == 8


def test_a_suffix_in_capitals_is_one_too(tmp_path, four):
    speech(four, "a1/s0/LOUD.WAV")
    done(four, tmp_path / "data")
    assert "a1-s0-LOUD" in (tmp_path / "data/train/wav.scp").read_text()


def test_windows_line_ends_a_byte_order_mark_and_spelled_out_genders_are_read(tmp_path, four):
    (four / "speakers.tsv").write_bytes(
        b"\xef\xbb\xbfgender\tsplit\tspeaker\r\nMale\ttrain\ta1\r\nF\ttest\ta2\r\nfemale\ttrain\tb1\r\nm\ttest\tb2\r\n\r\n"
    )
    done(four, tmp_path / "data")
    assert (tmp_path / "data/train/spk2gender").read_text() == "a1 m\nb1 f\n"


# ---- the drawn split


def split_of(folder: Path, *options: object) -> dict[str, set[str]]:
    data = folder.parent / "-".join(map(str, ("data", folder.name, *options)))
    done(*options, folder, data)
    return {
        path.name: {line.split()[0] for line in (path / "spk2utt").read_text().splitlines()}
        for path in data.iterdir()
        if path.is_dir()
    }


def test_without_a_table_a_share_of_the_speakers_is_drawn(tmp_path):
    speakers = {f"s{number:02d}" for number in range(40)}
    folder = speech(tmp_path / "many", *names(speakers, sessions=1))
    sets = split_of(folder)
    assert len(sets["test_many"]) == 10 and sets["train"] | sets["test_many"] == speakers
    assert not sets["train"] & sets["test_many"]
    assert split_of(folder, "--seed", 2) != sets
    assert len(split_of(folder, "--test-fraction", 0.5)["test_many"]) == 20


def test_a_speaker_more_hardly_changes_the_draw():
    speakers = [f"s{number:02d}" for number in range(40)]
    before, after = (draw_split(Path("x"), some, 0.25, seed=1) for some in (speakers[1:], speakers))
    assert sum(before[speaker] != after[speaker] for speaker in before) <= 1


def test_a_folder_that_gives_no_test_set_keeps_all_its_speakers_for_training_when_nobody_says_otherwise(tmp_path, four):
    many = speech(tmp_path / "many", *names([f"s{number}" for number in range(8)]))
    said = done("--test-folders", "four", f"{four},{many}", tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "data").glob("test_*")) == ["test_four"]
    assert len((tmp_path / "data/train/spk2utt").read_text().splitlines()) == 2 + 8
    assert "all 8 speakers are for training" in said
    said = done("--test-folders", "many", f"{four},{many}", tmp_path / "data2")
    assert len((tmp_path / "data2/train/spk2utt").read_text().splitlines()) == 2 + 6  # b2 and a2 stay out of training
    assert "left out 2 test speakers" in said


def test_with_more_pairs_than_max_trials_some_are_drawn_and_that_is_said(tmp_path, four):
    said = done("--max-trials", 10, four, tmp_path / "data")
    assert len((tmp_path / "data/test_four/trials").read_text().splitlines()) == 10
    assert "10 trials (5 target) drawn from 28 pairs (12 target)" in said


# ---- again


def test_a_second_call_does_nothing(tmp_path, four):
    done(four, tmp_path / "data")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    assert "already made" in done(four, tmp_path / "data")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == before


def test_a_new_recording_or_another_option_is_noticed(tmp_path, four):
    done(four, tmp_path / "data")
    speech(four, "a1/s2/new.wav")
    assert "made again, because this changed: train" in done(four, tmp_path / "data")
    assert "a1-s2-new" in (tmp_path / "data/train/utt2spk").read_text()
    assert "made again, because this changed: --max-trials" in done("--max-trials", 9, four, tmp_path / "data")


def test_a_table_that_is_gone_is_made_again(tmp_path, four):
    done(four, tmp_path / "data")
    before = files(tmp_path / "data")
    (tmp_path / "data/test_four/trials").unlink()
    assert "trials is missing" in done(four, tmp_path / "data")
    assert files(tmp_path / "data") == before


def test_gender_that_is_no_longer_known_leaves_no_old_table(tmp_path, four):
    done(four, tmp_path / "data")
    table(four, "speaker split", "a1 train", "a2 test", "b1 train", "b2 test")
    done(four, tmp_path / "data")
    assert not (tmp_path / "data/train/spk2gender").exists()


def test_a_test_set_of_other_folders_is_not_mixed_in(tmp_path, four):
    other = speech(tmp_path / "other", *names(["c1", "c2", "c3", "c4"]))
    done(f"{four},{other}", tmp_path / "data")
    before = files(tmp_path / "data")
    said = error(four, tmp_path / "data")
    assert f"{tmp_path}/data/test_other" in said and "made from other folders" in said
    assert files(tmp_path / "data") == before


# ---- what is refused


def test_a_folder_without_wav_or_without_recordings(tmp_path):
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path}/empty: has no folder wav" in error(tmp_path / "empty", tmp_path / "data")
    assert "has no folder wav" in error(tmp_path / "nowhere", tmp_path / "data")
    speech(tmp_path / "empty", "a/s/notes.txt")
    assert "no recording is" in error(tmp_path / "empty", tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("place", ["x.wav", "a1/x.flac"])
def test_a_recording_in_the_wrong_place(tmp_path, four, place):
    speech(four, place)
    said = error(four, tmp_path / "data")
    assert f"{four}/wav/{place}: is not in wav/<speaker>/<session>/" in said


@pytest.mark.parametrize("place", ["a b/s/x.wav", "a1/s 1/x.wav", "a1/s1/x y.wav", "a1/s1/x\u00a0y.wav"])
def test_a_blank_in_a_name(tmp_path, four, place):
    speech(four, place)
    assert "there is a blank in" in error(four, tmp_path / "data")


def test_a_blank_in_the_name_of_the_folder_but_not_above_it(tmp_path, four):
    (tmp_path / "my speech").mkdir()
    above = tmp_path / "my speech" / "four"
    four.rename(above)
    done(above, tmp_path / "data")
    assert (tmp_path / "data/train/wav.scp").read_text().startswith(f"a1-s0-0 {above}/wav/a1/s0/0.wav\n")
    above.rename(tmp_path / "speech of mine")
    assert "without blanks" in error(tmp_path / "speech of mine", tmp_path / "other")


@pytest.mark.parametrize("twice", ["a1/s0/0.flac", "a1/s0-0/1.wav a1/s0/0-1.wav"])
def test_two_recordings_of_one_id(tmp_path, four, twice):
    speech(four, *twice.split())
    said = error(four, tmp_path / "data")
    assert "would have the same id as" in said
    assert said.count(f"{four}/wav/a1/") == 2


def test_two_recordings_of_one_id_in_different_folders(tmp_path):
    one = table(
        speech(tmp_path / "one", "a/b-c/1.wav", *names(["x", "y"])), "speaker split", "a train", "x test", "y test"
    )
    two = table(speech(tmp_path / "two", "a-b/c/1.wav", *names(["z"])), "speaker split", "a-b train", "z train")
    said = error(f"{one},{two}", tmp_path / "data")
    assert "'a-b-c-1'" in said and f"{one}/wav/a/b-c/1.wav" in said and f"{two}/wav/a-b/c/1.wav" in said


def test_a_speaker_in_two_folders(tmp_path, four):
    other = speech(tmp_path / "other", *names(["a1", "b1", "c1", "c2"]))
    said = error(f"{four},{other}", tmp_path / "data")
    assert str(four) in said and str(other) in said and "2 speakers (a1, b1)" in said


def test_two_folders_of_one_name(tmp_path, four):
    other = speech(tmp_path / "elsewhere" / "four", *names(["c1", "c2", "c3", "c4"]))
    assert "two folders" in error(f"{four},{other}", tmp_path / "data")
    assert "two folders" in error(f"{four},{four}", tmp_path / "data")


# In the C locale '-' comes before digits and letters, '!' before '-'.
@pytest.mark.parametrize(("first", "second", "refused"), [("a", "a-b", True), ("a", "a!", True), ("a", "a1", False)])
def test_speakers_whose_utterances_interleave(tmp_path, first, second, refused):
    recordings = [*names([second, "x", "y"]), f"{first}/a/1.wav", f"{first}/c/1.wav"]
    folder = speech(tmp_path / "f", *recordings)
    table(folder, "speaker split", f"{first} train", f"{second} train", "x test", "y test")
    if refused:
        said = error(folder, tmp_path / "data")
        assert f"speakers {first!r} and {second!r}" in said or f"speakers {second!r} and {first!r}" in said
        assert "rename" in said and not (tmp_path / "data").exists()
    else:
        done(folder, tmp_path / "data")
        keys = [line.split() for line in (tmp_path / "data/train/utt2spk").read_text().splitlines()]
        assert [speaker for _, speaker in keys] == sorted(speaker for _, speaker in keys)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["speaker age", "a1 3"], ["speakers.tsv:1", "'split'", "speaker, age"]),
        (["name split", "a1 test"], ["speakers.tsv:1", "'speaker'"]),
        (["speaker split", "a1 train", "a2 dev"], ["speakers.tsv:3", "'dev'", "'a2'", "train or test"]),
        (["speaker split", "a1 train", "a2"], ["speakers.tsv:3", "1 fields", "2"]),
        (["speaker split", "a1 train", "a1 test"], ["speakers.tsv:3", "'a1'", "earlier line"]),
        (["speaker split gender", "a1 train male", "a2 test green"], ["speakers.tsv:3", "'green'", "m, f"]),
        (
            ["speaker split", "a1 train", "b2 test", "u train", "v test", "w test", "x test"],
            ["speakers.tsv: ", "names 4 speakers (u, v, w, ...) without", "lacks 2 speakers (a2, b1)"],
        ),
    ],
)
def test_a_faulty_table_is_refused_with_its_line(tmp_path, four, lines, words):
    table(four, *lines)
    said = error(four, tmp_path / "data")
    assert all(word in said for word in words), said
    assert not (tmp_path / "data").exists()


def test_too_few_test_speakers_or_utterances(tmp_path, four):
    table(four, "speaker split", "a1 train", "a2 test", "b1 train", "b2 train")
    assert "only one test speaker, 'a2'" in error(four, tmp_path / "data")
    table(four, "speaker split", "a1 train", "a2 train", "b1 train", "b2 train")
    assert "no folder has test speakers" in error(four, tmp_path / "data")
    table(four, "speaker split", "a1 test", "a2 test", "b1 test", "b2 train")
    assert "1 training speakers" in error(four, tmp_path / "data")
    single = speech(tmp_path / "single", *names(["a", "b", "c", "d"], sessions=1, utterances=1))
    assert "no target trials" in error(single, tmp_path / "data")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--test-fraction", 1], ["--test-fraction 1", "below 1"]),
        (["--test-fraction", -0.1], ["--test-fraction -0.1"]),
        (["--test-fraction", "nan"], ["--test-fraction nan"]),
        (["--max-trials", 1], ["--max-trials 1"]),
        (["--seed", -1], ["--seed -1"]),
        (["--test-folders", "fuor"], ["--test-folders", "'fuor'", "'four'"]),
    ],
)
def test_a_wrong_option_is_named(tmp_path, four, options, words):
    said = error(*options, four, tmp_path / "data")
    assert all(word in said for word in words), said


def test_test_folders_without_test_speakers(tmp_path, four):
    table(four, "speaker split", "a1 train", "a2 train", "b1 train", "b2 train")
    assert "--test-folders four" in error("--test-folders", "four", four, tmp_path / "data")


def test_a_name_that_is_not_utf_8_survives(tmp_path):
    folder = speech(tmp_path / "f", *names(["a", "b", "x", "y"]))
    speech(folder, os.fsdecode(b"a/s\xff/1.wav"))
    table(folder, "speaker split", "a train", "b train", "x test", "y test")
    done(folder, tmp_path / "data")
    assert b"a-s\xff-1 " in (tmp_path / "data/train/wav.scp").read_bytes()


LARGE = """
import resource, sys, time
from pathlib import Path
from spk.data import speaker_folders as folders
recordings = {}
for speaker in range(6000):
    ids = [f"id{speaker:05d}-v{n // 8:04d}-{n:05d}" for n in range(183)]
    recordings[f"id{speaker:05d}"] = {name: "/corpora/vox/wav/" + name.replace("-", "/") + ".wav" for name in ids}
folders.find_recordings = lambda path: folders.SpeakerFolder(path, recordings, [])
begin = time.process_time()
sets = folders.make_sets(folders.read_folders(["/nowhere/vox"], 0.01, 1, []), [])
for name, data_set in sets.items():
    data_set.digest()
    folders.write_data_dir(Path(sys.argv[1]) / name, data_set)
print(time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def test_the_lists_of_a_million_recordings_take_seconds_and_two_gigabytes_at_most(tmp_path):
    command = [sys.executable, "-c", LARGE, str(tmp_path)]
    seconds, gigabytes = map(float, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert seconds < 20 and gigabytes < 2
    with (tmp_path / "train" / "utt2spk").open() as file:
        assert sum(1 for _ in file) == 5940 * 183


def test_reading_a_folder_raises_input_errors_only(tmp_path):
    with pytest.raises(InputError):
        read_folders([tmp_path / "nowhere"], 0.25, 1, [])
