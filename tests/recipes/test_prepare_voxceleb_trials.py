"""local/prepare_voxceleb_trials: test sets from the published lists and the data directories of VoxCeleb1."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from spk.data.data_dir import speakers_to_utterances, write_table

# Speaker -> utterances; the first two are of the development part, the others of the test part.
VIDEOS = ("x-_y6Yqmx31/00001", "x-_y6Yqmx31/00002", "8jEAjG6SegY/00001")
SPEAKERS = {"vox1_dev": ("id10001", "id10002"), "vox1_test": ("id10270", "id10271")}
GENDERS = {"id10001": "m", "id10002": "f", "id10270": "f", "id10271": "m"}
NATIONALITY = "New Zealand"
TRIALS = {
    "veri_test.txt": ["1 id10270/{0} id10270/{2}", "0 id10270/{0} id10271/{1}", "1 id10271/{1} id10271/{2}"],
    "veri_test2.txt": ["1 id10270/{0} id10270/{2}", "0 id10270/{0} id10271/{1}"],
    "list_test_all.txt": [
        "1 id10001/{0} id10001/{2}",
        "0 id10270/{0} id10002/{1}",
        "1 id10001/{0} id10001/{2}",  # once more
        "0 id10002/{1} id10270/{0}",  # the other way round is another pair
    ],
    "list_test_all2.txt": ["0 id10270/{0} id10002/{1}", "1 id10001/{0} id10001/{2}"],
    "list_test_hard.txt": ["1 id10002/{0} id10002/{1}", "0 id10002/{0} id10001/{1}"],
    "list_test_hard2.txt": ["1 id10002/{0} id10002/{1}"],
}
NAMES = ("o", "o_cleaned", "e", "e_cleaned", "h", "h_cleaned")
COMMAND = "prepare_voxceleb_trials --table table"
ALL = f"{COMMAND} lists data/vox1_dev,data/vox1_test data"


def write_source(path: Path, utterances: Mapping[str, str], genders: Mapping[str, str]) -> None:
    """A data directory as local/prepare_voxceleb writes it: {utterance: path}."""
    path.mkdir(parents=True, exist_ok=True)
    utt2spk = {utterance: utterance[:7] for utterance in utterances}
    write_table(path / "wav.scp", utterances)
    write_table(path / "utt2spk", utt2spk)
    write_table(path / "spk2utt", speakers_to_utterances(utt2spk))
    write_table(path / "spk2gender", genders)
    write_table(path / "spk2nationality", dict.fromkeys(genders, NATIONALITY))


def write_list(path: Path, lines: list[str]) -> None:
    names = [f"{video}.wav" for video in VIDEOS]
    path.write_text("".join(f"{line.format(*names)}\n" for line in lines))


def write_list_table(path: Path, **changed: str) -> None:
    rows = ["list\tfile\ttrials\ttarget trials"]
    for name, (file, lines) in zip(NAMES, TRIALS.items(), strict=True):
        size = f"{len(lines)}\t{sum(line.startswith('1') for line in lines)}"
        rows.append(f"{name}\t{file}\t{changed.get(name, size)}")
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture
def work(tmp_path) -> Path:
    """A folder with lists/, table, data/vox1_dev and data/vox1_test."""
    for part, speakers in SPEAKERS.items():
        utterances = {
            f"{speaker}-{video.replace('/', '-')}": f"/corpora/{part}/wav/{speaker}/{video}.wav"
            for speaker in speakers
            for video in VIDEOS
        }
        write_source(tmp_path / "data" / part, utterances, {speaker: GENDERS[speaker] for speaker in speakers})
    (tmp_path / "lists").mkdir()
    for name, lines in TRIALS.items():
        write_list(tmp_path / "lists" / name, lines)
    write_list_table(tmp_path / "table")
    return tmp_path


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


def content(folder: Path) -> dict[str, str]:
    """{file: digest of its bytes} of the two test sets."""
    files = [path for name in ("vox1_o", "vox1") for path in (folder / "data" / name).glob("**/*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def refused(shell, line: str) -> str:
    """The one line of a command that fails."""
    result = shell(line)
    assert result.returncode == 1 and result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("prepare_voxceleb_trials: error: ") and "Traceback" not in result.stderr
    return last


def test_the_test_sets_hold_their_trials_and_just_their_utterances(shell, work):
    shell(ALL, check=True)
    data = work / "data"
    assert lines_of(data / "vox1_o/trials") == [
        "id10270-x-_y6Yqmx31-00001 id10270-8jEAjG6SegY-00001 target",
        "id10270-x-_y6Yqmx31-00001 id10271-x-_y6Yqmx31-00002 nontarget",
        "id10271-x-_y6Yqmx31-00002 id10271-8jEAjG6SegY-00001 target",
    ]
    assert lines_of(data / "vox1_o/trials_cleaned") == lines_of(data / "vox1_o/trials")[:2]
    assert lines_of(data / "vox1/trials_e") == [
        "id10001-x-_y6Yqmx31-00001 id10001-8jEAjG6SegY-00001 target",
        "id10270-x-_y6Yqmx31-00001 id10002-x-_y6Yqmx31-00002 nontarget",
        "id10001-x-_y6Yqmx31-00001 id10001-8jEAjG6SegY-00001 target",
        "id10002-x-_y6Yqmx31-00002 id10270-x-_y6Yqmx31-00001 nontarget",
    ]
    assert lines_of(data / "vox1/trials_h_cleaned") == ["id10002-x-_y6Yqmx31-00001 id10002-x-_y6Yqmx31-00002 target"]
    assert lines_of(data / "vox1_o/spk2utt") == [
        "id10270 id10270-8jEAjG6SegY-00001 id10270-x-_y6Yqmx31-00001",
        "id10271 id10271-8jEAjG6SegY-00001 id10271-x-_y6Yqmx31-00002",
    ]
    assert lines_of(data / "vox1_o/spk2gender") == ["id10270 f", "id10271 m"]
    assert lines_of(data / "vox1/spk2nationality") == [
        f"{speaker} {NATIONALITY}" for speaker in ("id10001", "id10002", "id10270")
    ]
    assert lines_of(data / "vox1/wav.scp") == [
        "id10001-8jEAjG6SegY-00001 /corpora/vox1_dev/wav/id10001/8jEAjG6SegY/00001.wav",
        "id10001-x-_y6Yqmx31-00001 /corpora/vox1_dev/wav/id10001/x-_y6Yqmx31/00001.wav",
        "id10001-x-_y6Yqmx31-00002 /corpora/vox1_dev/wav/id10001/x-_y6Yqmx31/00002.wav",
        "id10002-x-_y6Yqmx31-00001 /corpora/vox1_dev/wav/id10002/x-_y6Yqmx31/00001.wav",
        "id10002-x-_y6Yqmx31-00002 /corpora/vox1_dev/wav/id10002/x-_y6Yqmx31/00002.wav",
        "id10270-x-_y6Yqmx31-00001 /corpora/vox1_test/wav/id10270/x-_y6Yqmx31/00001.wav",
    ]
    shell("for set in vox1_o vox1; do validate_data_dir.sh --no-check-files data/$set; done", check=True)


def test_it_says_what_each_list_has_and_how_much_of_it_is_repeated(shell, work):
    said = shell(ALL, check=True).stderr.splitlines()
    assert said == [
        "lists/veri_test.txt: 3 trials (2 target) of 4 utterances",
        "lists/veri_test2.txt: 2 trials (1 target) of 3 utterances",
        "lists/list_test_all.txt: 4 trials (2 target) of 4 utterances; lines that repeat an earlier pair, and stay: 1",
        "lists/list_test_all2.txt: 2 trials (1 target) of 4 utterances",
        "lists/list_test_hard.txt: 2 trials (1 target) of 3 utterances",
        "lists/list_test_hard2.txt: 1 trials (1 target) of 2 utterances",
        "data/vox1_o: 4 utterances of 2 speakers; trials, trials_cleaned",
        "data/vox1: 6 utterances of 3 speakers; trials_e, trials_e_cleaned, trials_h, trials_h_cleaned",
    ]


def test_a_second_run_redoes_nothing_and_any_change_redoes(shell, work):
    shell(ALL, check=True)
    before = content(work)
    times = {path: path.stat().st_mtime_ns for path in (work / "data").glob("vox1*/*")}
    again = shell(ALL, check=True)
    assert again.stderr.splitlines() == ["already made: data/vox1_o", "already made: data/vox1"]
    assert {path: path.stat().st_mtime_ns for path in (work / "data").glob("vox1*/*")} == times

    # Another content of a list, with the table that fits it.
    write_list(work / "lists/veri_test.txt", TRIALS["veri_test.txt"][:2])
    write_list_table(work / "table", o="2\t1")
    said = shell(ALL, check=True).stderr
    assert "data/vox1_o is made again, because this changed: list o, lists/veri_test.txt\n" in said
    assert "already made: data/vox1\n" in said
    assert len(lines_of(work / "data/vox1_o/trials")) == 2

    write_list(work / "lists/veri_test.txt", TRIALS["veri_test.txt"])
    write_list_table(work / "table")
    shell(ALL, check=True)
    assert content(work) == before

    # Another content of a source.
    wav = work / "data/vox1_dev/wav.scp"
    wav.write_text(wav.read_text().replace("/corpora/", "/elsewhere/"))
    assert "data/vox1 is made again, because this changed: data/vox1_dev/wav.scp\n" in shell(ALL, check=True).stderr
    assert "/elsewhere/" in (work / "data/vox1/wav.scp").read_text()


def test_what_a_killed_run_left_is_made_again(shell, work):
    shell(ALL, check=True)
    before = content(work)
    (work / "data/vox1/.prepare_voxceleb_trials.done").unlink()  # it comes last
    (work / "data/vox1/trials_h").write_text("half a li")
    (work / "data/vox1/spk2utt").unlink()
    shell(ALL, check=True)
    assert content(work) == before
    (work / "data/vox1_o/trials_cleaned").unlink()
    assert "because data/vox1_o/trials_cleaned is missing" in shell(ALL, check=True).stderr
    assert content(work) == before


def test_features_that_a_source_gets_later_are_no_change_but_earlier_ones_are_taken(shell, work):
    shell(ALL, check=True)
    source = work / "data/vox1_test"
    names = [line.split()[0] for line in lines_of(source / "utt2spk")]
    (source / "feats.scp").write_text("".join(f"{name} /feats.ark:{row}\n" for row, name in enumerate(names)))
    (source / "feats.yaml").write_text("features: {name: fbank40}\n")
    assert shell(ALL, check=True).stderr.splitlines() == ["already made: data/vox1_o", "already made: data/vox1"]
    shell("rm -r data/vox1_o; " + ALL, check=True)
    assert lines_of(work / "data/vox1_o/feats.scp")[0] == "id10270-8jEAjG6SegY-00001 /feats.ark:0"
    assert (work / "data/vox1_o/feats.yaml").read_text() == "features: {name: fbank40}\n"


def test_o_needs_its_two_files_and_the_test_part_only(shell, work):
    for name in ("list_test_all.txt", "list_test_all2.txt", "list_test_hard.txt", "list_test_hard2.txt"):
        (work / "lists" / name).unlink()
    shell("rm -r data/vox1_dev", check=True)
    said = shell(f"{COMMAND} --lists o lists data/vox1_dev,data/vox1_test data", check=True).stderr
    assert "data/vox1_dev: not there" in said
    assert len(lines_of(work / "data/vox1_o/trials_cleaned")) == 2
    assert not (work / "data/vox1").exists()


def test_a_list_that_is_no_longer_asked_for_goes(shell, work):
    shell(ALL, check=True)
    (work / "data/vox1/trials_mine").write_text("mine\n")
    said = shell(f"{COMMAND} --lists h lists data/vox1_dev data", check=True).stderr
    assert "data/vox1/trials_e is removed, as --lists does not name it" in said
    assert sorted(path.name for path in (work / "data/vox1").glob("trials*")) == [
        "trials_h",
        "trials_h_cleaned",
        "trials_mine",
    ]
    assert len(lines_of(work / "data/vox1/utt2spk")) == 3
    assert "already made: data/vox1_o" in shell(ALL, check=True).stderr


def test_every_missing_list_is_named_with_how_to_get_it(shell, work):
    (work / "lists/veri_test2.txt").unlink()
    (work / "lists/list_test_hard.txt").unlink()
    result = shell(ALL)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "lists/veri_test2.txt: no such file; it is list o_cleaned",
        "lists/list_test_hard.txt: no such file; it is list h",
        "prepare_voxceleb_trials: error: 2 of 6 lists are missing; "
        "local/download_corpus voxceleb_lists lists gets them",
    ]


def test_the_names_of_kaldis_mirror_are_known(shell, work):
    (work / "lists/veri_test.txt").rename(work / "lists/voxceleb1_test_v2.txt")
    write_list_table(work / "table")
    table = (work / "table").read_text().replace("veri_test.txt", "veri_test.txt,voxceleb1_test_v2.txt")
    (work / "table").write_text(table)
    said = shell(f"{COMMAND} --lists o lists data/vox1_test data", check=True).stderr
    assert "lists/voxceleb1_test_v2.txt: 3 trials (2 target)" in said


def test_unknown_utterances_are_counted_and_nothing_is_written(shell, work):
    error = refused(shell, f"{COMMAND} lists data/vox1_test data")
    assert (
        "lists/list_test_all.txt: 3 of its 4 utterances are not in data/vox1_test: id10001-8jEAjG6SegY-00001," in error
    )
    assert not (work / "data/vox1").exists() and not (work / "data/vox1_o").exists()


def test_a_list_of_another_size_is_refused_and_nothing_is_written(shell, work):
    write_list_table(work / "table", h_cleaned="2\t1")
    error = refused(shell, ALL)
    assert "lists/list_test_hard2.txt: has 1 trials (1 target), but list h_cleaned has 2 (1 target)" in error
    assert "--table" in error
    assert not (work / "data/vox1").exists() and not (work / "data/vox1_o").exists()


def test_without_an_own_table_the_published_sizes_are_demanded(shell, work):
    error = refused(shell, "prepare_voxceleb_trials --lists o lists data/vox1_test data")
    assert "lists/veri_test.txt: has 3 trials (2 target), but list o has 37720 (18860 target)" in error


@pytest.mark.parametrize(
    "line, message",
    [
        (f"{COMMAND} nowhere data/vox1_test data", "nowhere: no such folder of trial lists"),
        (f"{COMMAND} table data/vox1_test data", "table: no such folder of trial lists"),
        (f"{COMMAND} lists data/vox1_tset data", "data/vox1_tset: no such data directory"),
        (f"{COMMAND} lists lists data", "lists/utt2spk: no such file; lists is not a data directory"),
        (f"{COMMAND} --lists x lists data/vox1_test data", "--lists x: is not in the table of lists"),
        (f"{COMMAND} --lists , lists data/vox1_test data", "--lists names no list"),
        (f"{COMMAND} lists , data", "names no data directory"),
        ("prepare_voxceleb_trials --table lists lists data/vox1_test data", "lists: Is a directory"),
        (f"mkdir data/vox1_o; mv data/vox1_test/* data/vox1_o; {COMMAND} lists data/vox1_o data", "is the source, too"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(shell, work, line, message):
    assert message in refused(shell, line)


def test_the_help_names_the_lists_and_the_outputs(shell):
    shown = shell("prepare_voxceleb_trials --help", check=True).stdout
    assert "veri_test2.txt" in shown and "Writes" in shown and "--table" in shown


def test_the_real_lists_of_o_find_their_utterances(shell, tmp_path, corpora):
    lists = corpora / "voxceleb-lists"
    if not (lists / "veri_test2.txt").exists():
        pytest.skip(f"no corpora at {lists}")
    paths = {path for line in (lists / "veri_test.txt").read_text().splitlines() for path in line.split()[1:]}
    paths |= {path for line in (lists / "veri_test2.txt").read_text().splitlines() for path in line.split()[1:]}
    utterances = {path.replace("/", "-")[: -len(".wav")]: f"/corpora/wav/{path}" for path in paths}
    speakers = {path[:7] for path in paths}
    extra = {f"id10309-{'e' * 11}-{number:05d}": f"/corpora/{number}.wav" for number in range(100)}
    write_source(tmp_path / "data/vox1_test", utterances | extra, dict.fromkeys(speakers | {"id10309"}, "m"))
    said = shell('prepare_voxceleb_trials --lists o "$1" data/vox1_test data', lists, check=True).stderr
    assert said.splitlines() == [
        f"{lists}/veri_test.txt: 37720 trials (18860 target) of 4715 utterances",
        f"{lists}/veri_test2.txt: 37611 trials (18802 target) of 4708 utterances",
        "data/vox1_o: 4715 utterances of 40 speakers; trials, trials_cleaned",
    ]
    for file, name in (("veri_test.txt", "trials"), ("veri_test2.txt", "trials_cleaned")):
        expected = []
        for line in (lists / file).read_text().splitlines():
            label, *pair = line.split()
            enroll, test = (path.replace("/", "-").replace(".wav", "") for path in pair)
            expected.append(f"{enroll} {test} {'target' if label == '1' else 'nontarget'}")
        assert lines_of(tmp_path / "data/vox1_o" / name) == expected
    shell("validate_data_dir.sh --no-check-files data/vox1_o", check=True)
