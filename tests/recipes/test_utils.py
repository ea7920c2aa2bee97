"""The data directory tools from the command line: what they print, what they exit with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[2] / "utils"
COMMANDS = sorted(path.name for path in UTILS.iterdir() if os.access(path, os.X_OK))


@pytest.fixture
def data(tmp_path) -> Path:
    """A valid data directory data/train: 4 utterances of 2 speakers, whose audio files are there (and empty)."""
    path = tmp_path / "data" / "train"
    path.mkdir(parents=True)
    utterances = ["id1-a", "id1-b", "id2-a", "id2-b"]
    (path / "utt2spk").write_text("".join(f"{utterance} {utterance[:3]}\n" for utterance in utterances))
    (path / "spk2utt").write_text("id1 id1-a id1-b\nid2 id2-a id2-b\n")
    (path / "wav.scp").write_text("".join(f"{utterance} audio/{utterance}.wav\n" for utterance in utterances))
    (tmp_path / "audio").mkdir()
    for utterance in utterances:
        (tmp_path / "audio" / f"{utterance}.wav").touch()
    return path


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_answers_help(name, tmp_path):
    """Also without path.sh, and from any folder."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    result = subprocess.run([UTILS / name, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "usage: " in result.stdout.lower()
    assert result.stderr == ""


def test_a_valid_directory_is_called_valid(shell, data):
    result = shell("validate_data_dir.sh data/train/")
    assert result.returncode == 0
    assert result.stderr == "validate_data_dir.sh: data/train: valid, 4 utterances of 2 speakers\n"


FIX = "(run utils/fix_data_dir.sh data/train)"


@pytest.mark.parametrize(
    "name, content, message",
    [
        (
            "utt2spk",
            "id1-a id1\nid1-b id1\nid2-b id2\nid2-a id2\n",
            f"utt2spk:4: 'id2-a' comes after 'id2-b', but sorts before it in the C locale {FIX}",
        ),
        (
            "utt2spk",
            "id1-a id1\nid1-b id1\nid2-a id2\nid2-b id2\nid2-b id2\n",
            f"utt2spk:5: 'id2-b' stands on line 4 already {FIX}",
        ),
        (
            "utt2spk",
            "id1-a id1\nid1-b id1\nid2-a id2\nid2-b id1\n",
            "utt2spk:4: speaker 'id1' is not a prefix of utterance 'id2-b' "
            "(run utils/copy_data_dir.sh --add-speaker-prefix true data/train data/train_renamed)",
        ),
        (
            "utt2spk",
            "id1-a id1\nid1-b id1\nid2-a id2\nid2-b id2 x\n",
            "utt2spk:4: 'id2-b': 'id2 x' is not one word",
        ),
        ("utt2spk", "id1-a id1\nid1-b id1\nid2-a id2\nid2-b\n", f"utt2spk:4: 'id2-b' has no value {FIX}"),
        ("utt2spk", "id1-a id1\n\nid1-b id1\nid2-a id2\nid2-b id2\n", f"utt2spk:2: empty line {FIX}"),
        (
            "utt2spk",
            "id1-a id1\nid1-b id1\nid2-a id2\nid2-b id2",
            f"utt2spk:4: the last line does not end in a newline {FIX}",
        ),
        (
            "wav.scp",
            "id1-a audio/id1-a.wav\nid1-b audio/gone.wav\nid2-a audio\nid2-b audio/id2-b.wav\n",
            "wav.scp:2: 'id1-b': no such file: audio/gone.wav (restore it, or drop what needs it with "
            "utils/fix_data_dir.sh --drop-missing-files true data/train)",
        ),
        (
            "wav.scp",
            "id1-a audio/id1-a.wav\nid1-b sox x -t wav - |\nid2-a audio/id2-a.wav\nid2-b audio/id2-b.wav\n",
            "wav.scp:2: 'id1-b' is a command, 'sox x -t wav - |' (--allow-pipes true lets it pass, if you trust it)",
        ),
        (
            "wav.scp",
            "id1-a audio/id1-a.wav\r\nid1-b audio/id1-b.wav\r\nid2-a audio/id2-a.wav\r\nid2-b audio/id2-b.wav\r\n",
            f"wav.scp:1: there is a carriage return, as Windows writes it {FIX}",
        ),
        (
            "wav.scp",
            "id1-a audio/id1-a.wav\nid2-a audio/id2-a.wav\nid2-b audio/id2-b.wav\nid3-a audio/id2-a.wav\n",
            f"wav.scp: lacks utterances of utt2spk, 1: id1-b {FIX}",
        ),
        (
            "wav.scp",
            "id1-a audio/id1-a.wav\nid2-a audio/id2-a.wav\nid2-b audio/id2-b.wav\nid3-a audio/id2-a.wav\n",
            f"wav.scp: has utterances that are not in utt2spk, 1: id3-a {FIX}",
        ),
        (
            "spk2utt",
            "id1 id1-a\nid2 id1-b id2-a id2-b\n",
            f"spk2utt:1: speaker 'id1' does not have the utterances that utt2spk gives it {FIX}",
        ),
        (
            "utt2num_frames",
            "id1-a 100\nid1-b 0\nid2-a 3\nid2-b 3\n",
            "utt2num_frames:2: 'id1-b': '0' is not a whole number above 0 "
            "(correct it, or drop it with utils/fix_data_dir.sh data/train)",
        ),
        ("text", "", "text: the file is empty"),
        (
            "feats.scp",
            "id1-a /no/x.ark:5\nid1-b /no/x.ark:90\nid2-a /no/x.ark:200[0:3]\nid2-b /no/y.ark:5\n",
            "feats.scp:3: 'id2-a': no such file: /no/x.ark (",
        ),
        ("spk2gender", "id1 m\nid2 x\n", "spk2gender:2: 'id2': 'x' is neither m nor f"),
    ],
)
def test_each_mistake_is_named_with_its_line_and_what_mends_it(shell, data, name, content, message):
    (data / name).write_bytes(content.encode())
    result = shell("validate_data_dir.sh data/train")
    assert result.returncode == 1
    assert result.stdout == ""
    assert f"data/train/{message}" in result.stderr
    assert "validate_data_dir.sh: data/train: not valid; problems: " in result.stderr


def test_all_mistakes_are_named_at_once(shell, data):
    (data / "utt2spk").write_text("id1-b id1\nid1-a id1\nid2-a id2\nid2-b id9\n")
    (data / "spk2utt").unlink()
    (data / "wav.scp").write_text("id1-a gone\nid1-b gone |\n")
    result = shell("validate_data_dir.sh data/train")
    for message in (
        "sorts before it",
        "not a prefix",
        "spk2utt: no such file",
        "no such file: gone",
        "a command",
        "lacks",
    ):
        assert message in result.stderr


def test_of_many_alike_a_few_are_shown_and_all_counted(shell, data):
    (data / "utt2spk").write_text("".join(f"id1-{number} id9\n" for number in range(10, 60)))
    (data / "spk2utt").write_text("id9 " + " ".join(f"id1-{number}" for number in range(10, 60)) + "\n")
    (data / "wav.scp").unlink()
    result = shell("validate_data_dir.sh --no-wav --shown 3 data/train")
    assert result.stderr.count("is not a prefix") == 3
    assert "data/train/utt2spk: 47 more like the last one" in result.stderr
    assert "problems: 50" in result.stderr


def test_a_speaker_whose_id_begins_anothers_is_pointed_out(shell, data):
    (data / "utt2spk").write_text("a-b-d a-b\na-c a\n")
    (data / "spk2utt").write_text("a a-c\na-b a-b-d\n")
    (data / "wav.scp").write_text("a-b-d audio/id1-a.wav\na-c audio/id1-b.wav\n")
    result = shell("validate_data_dir.sh data/train")
    assert result.returncode == 1
    assert "utt2spk:2: utterance 'a-c' sorts after 'a-b-d', but its speaker 'a' before 'a-b'" in result.stderr
    assert shell("validate_data_dir.sh --no-spk-sort data/train").returncode == 0


@pytest.mark.parametrize(
    "options, content",
    [
        ("--no-check-files", "id1-a gone\nid1-b gone\nid2-a gone\nid2-b gone\n"),
        ("--allow-pipes true", "id1-a cat x |\nid1-b cat x |\nid2-a cat x |\nid2-b audio/id2-b.wav\n"),
        ("--no-wav", "whatever"),
    ],
)
def test_what_is_not_to_be_checked_passes(shell, data, options, content):
    (data / "wav.scp").write_text(content)
    assert shell("validate_data_dir.sh data/train").returncode == 1
    assert shell(f"validate_data_dir.sh {options} data/train").returncode == 0


def test_without_features_their_files_are_not_looked_at(shell, data):
    """Features of some utterances may be rejected: that is for the later stages to say."""
    (data / "feats.scp").write_text("id1-a audio/id1-a.wav:5\n")
    (data / "utt2num_frames").write_text("id1-a 5\n")
    assert shell("validate_data_dir.sh data/train").returncode == 1
    assert shell("validate_data_dir.sh --no-feats data/train").returncode == 0


def test_no_directory_is_an_error_that_names_it(shell):
    for line in (
        "validate_data_dir.sh nowhere",
        "fix_data_dir.sh nowhere",
        "split_data.sh nowhere 2",
        "subset_data_dir.sh nowhere 2 new",
        "copy_data_dir.sh nowhere new",
        "combine_data.sh new nowhere",
        "utt2spk_to_spk2utt nowhere",
    ):
        result = shell(line)
        assert result.returncode == 1, line
        assert "nowhere" in result.stderr and "Traceback" not in result.stderr, line
    assert not Path("new").exists()


def test_fix_says_what_it_drops_and_keeps_the_originals(shell, data):
    wav = "id2-b audio/id2-b.wav\nid1-a audio/id1-a.wav\nid1-a other.wav\n\nid2-a audio/id2-a.wav\nid1-b gone.wav\nx y"
    (data / "wav.scp").write_text(wav)
    (data / "text").write_text("id1-a hello\nid1-b you\nid2-b bye\n")
    (data / "trials").write_text("id2-a id1-a nontarget\n")
    result = shell("fix_data_dir.sh data/train", check=True)
    assert result.stderr.splitlines() == [
        "fix_data_dir.sh: data/train/text: utterances that it lacks are dropped everywhere, 1: id2-a",
        "fix_data_dir.sh: data/train/wav.scp: lines without an id or a value are dropped, 1",
        "fix_data_dir.sh: data/train/wav.scp: of lines with the same id the first is kept, 1: id1-a",
        "fix_data_dir.sh: data/train/wav.scp: utterances that utt2spk does not have are dropped, 1: x",
        "fix_data_dir.sh: data/train: kept 3 of 4 utterances; changed: spk2utt utt2spk wav.scp "
        "(originals in data/train/.backup)",
    ]
    assert (data / "wav.scp").read_text() == "id1-a audio/id1-a.wav\nid1-b gone.wav\nid2-b audio/id2-b.wav\n"
    assert (data / "spk2utt").read_text() == "id1 id1-a id1-b\nid2 id2-b\n"
    assert (data / ".backup" / "wav.scp").read_text() == wav
    assert (data / "trials").read_text() == "id2-a id1-a nontarget\n"
    result = shell("fix_data_dir.sh data/train", check=True)
    assert result.stderr == "fix_data_dir.sh: data/train: kept 3 of 3 utterances; nothing to change\n"
    result = shell("fix_data_dir.sh --drop-missing-files true data/train", check=True)
    assert "kept 2 of 3 utterances" in result.stderr
    shell("validate_data_dir.sh data/train", check=True)


def test_fix_says_what_it_cannot_mend(shell, data):
    (data / "utt2spk").write_text("id1-a id1\nid1-b id1\nid2-a id2\nid2-b id7\n")
    result = shell("fix_data_dir.sh data/train", check=True)
    command = "utils/copy_data_dir.sh --add-speaker-prefix true data/train data/train_renamed"
    problem = f"data/train/utt2spk:4: speaker 'id7' is not a prefix of utterance 'id2-b' (run {command})"
    assert f"fix_data_dir.sh: remains: {problem}\n" in result.stderr
    shell(f"{command.removeprefix('utils/')} && validate_data_dir.sh data/train_renamed", check=True)


def test_split_prints_the_number_of_parts(shell, data):
    result = shell("split_data.sh data/train 3", check=True)
    assert (result.stdout, result.stderr) == ("3\n", "")
    result = shell("split_data.sh data/train 9", check=True)
    assert result.stdout == "4\n"
    assert result.stderr == "split_data.sh: data/train/split4: 4 parts, not 9: no more utterances\n"
    result = shell("split_data.sh --per-speaker data/train 9", check=True)
    assert result.stdout == "2\n"
    assert "data/train/split2spk: 2 parts, not 9: no more speakers" in result.stderr
    assert shell("cat data/train/split2spk/*/wav.scp").stdout == (data / "wav.scp").read_text()


@pytest.mark.parametrize("number", ["0", "-1", "x", ""])
def test_split_refuses_what_is_no_number_of_parts(shell, data, number):
    result = shell('split_data.sh data/train "$1"', number)
    assert result.returncode != 0
    assert result.stdout == ""
    assert not any(data.glob("split*"))


def test_each_part_of_a_split_passes_the_checks(shell, data):
    shell(
        "for i in $(seq $(split_data.sh data/train 3)); do validate_data_dir.sh data/train/split3/$i || exit 1; done",
        check=True,
    )


@pytest.mark.parametrize(
    "options, chosen",
    [
        ("data/train 2 new", "id1-a id2-a"),
        ("--first data/train 2 new", "id1-a id1-b"),
        ("--last data/train 1 new", "id2-b"),
        ("--per-spk data/train 1 new", "id1-a id2-a"),
        ("--shortest data/train 2 new", "id1-b id2-a"),
        ("--utt-list list data/train new", "id1-b id2-b"),
        ("--spk-list list data/train new", "id2-a id2-b"),
    ],
)
def test_subsets(shell, data, options, chosen):
    (data / "utt2dur").write_text("id1-a 3\nid1-b 0.5\nid2-a 1\nid2-b 9.5\n")
    (data.parent.parent / "list").write_text("id2-b\nid1-b more words\n\nid2\nid9\n")
    result = shell(f"subset_data_dir.sh {options} && validate_data_dir.sh new", check=True)
    assert shell("cut -d' ' -f1 new/wav.scp").stdout.split() == chosen.split()
    assert f"new: {len(chosen.split())} of 4 utterances" in result.stderr


def test_subsets_by_list_say_what_is_not_there(shell, data):
    (data.parent.parent / "list").write_text("id2-b\nid9-x\n")
    result = shell("subset_data_dir.sh --utt-list list data/train new", check=True)
    assert "list: not in data/train/utt2spk, 1: id9-x" in result.stderr


def test_a_subset_of_whole_speakers(shell, data):
    shell("subset_data_dir.sh --speakers data/train 1 new", check=True)
    assert shell("cat new/spk2utt").stdout in (data / "spk2utt").read_text().splitlines(keepends=True)


@pytest.mark.parametrize(
    "options, message",
    [
        ("data/train 5 new", "has 4 utterances, fewer than the 5 asked for"),
        ("data/train 0 new", "'0' is not a number of utterances"),
        ("2 data/train new", "2/utt2spk: no such file"),
        ("data/train new", "takes SOURCE N DESTINATION"),
        ("data/train 2 data/train", "data/train: is the source, too"),
        ("--spk-list /dev/null data/train new", "/dev/null: nothing in it is in data/train/utt2spk"),
        ("--shortest data/train 2 new", "neither utt2num_frames nor utt2dur"),
    ],
)
def test_a_subset_that_cannot_be(shell, data, options, message):
    result = shell(f"subset_data_dir.sh {options}")
    assert result.returncode == 1
    assert message in result.stderr
    assert not (data.parent.parent / "new").exists()


def test_halves_combine_to_the_whole(shell, data):
    shell("split_data.sh data/train 2; combine_data.sh data/whole data/train/split2/1 data/train/split2/2", check=True)
    for name in ("utt2spk", "spk2utt", "wav.scp"):
        assert (data.parent / "whole" / name).read_text() == (data / name).read_text()


def test_a_copy_with_a_suffix_that_looks_like_an_option(shell, data):
    shell(
        "copy_data_dir.sh --utt-suffix -reverb data/train data/reverb && validate_data_dir.sh data/reverb", check=True
    )
    assert shell("head -n 1 data/reverb/utt2spk").stdout == "id1-a-reverb id1\n"
    assert shell("head -n 1 data/reverb/utt2uniq").stdout == "id1-a-reverb id1-a\n"


def test_spk2utt_from_a_file_or_from_standard_input(shell, data):
    expected = (data / "spk2utt").read_text()
    assert shell("utt2spk_to_spk2utt data/train/utt2spk").stdout == expected
    assert shell("tac data/train/utt2spk | utt2spk_to_spk2utt").stdout == expected


def test_validate_on_two_corpora_worth_of_file_names(shell, corpora, tmp_path):
    """Real file names of a corpus of speech pass as they are."""
    audio = sorted(path for path in (corpora / "an4").rglob("*") if path.suffix in (".wav", ".flac"))[:200]
    assert audio
    (tmp_path / "utt2spk").write_text("".join(f"s-{number:03d} s\n" for number, _ in enumerate(audio)))
    (tmp_path / "wav.scp").write_text("".join(f"s-{number:03d} {path}\n" for number, path in enumerate(audio)))
    shell("utt2spk_to_spk2utt utt2spk >spk2utt; validate_data_dir.sh .", check=True)
