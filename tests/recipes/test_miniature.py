"""The miniature of the corpora: archives, lists and SITW have the published form, and are true about who speaks."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from miniature.build import Sizes, build_miniature
from recipes.speech import make_corpus

from spk.errors import InputError

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")

ROOT = Path(__file__).resolve().parents[2]
SPEAKERS = {"vox1_dev": 4, "vox1_test": 4, "vox2_dev": 2, "vox2_test": 1, "sitw_dev": 2, "sitw_eval": 3, "shared": 2}
SIZES = Sizes(**SPEAKERS, utterances=3, noises=3)
FILE = r"id\d{5}/[A-Za-z0-9_-]{11}/\d{5}"


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "buzz"
    return make_corpus(folder, train_speakers=18, test_speakers=0, utterances=5, seconds=1.7)


@pytest.fixture(scope="module")
def miniature(tmp_path_factory, speech) -> Path:
    return build_miniature(speech, None, None, tmp_path_factory.mktemp("miniature") / "made", SIZES)


@pytest.fixture(scope="module")
def joined(miniature) -> dict[str, bytes]:
    """Name in the list of checksums -> the archive, of parts when joined."""
    archives = miniature / "archives"
    contents = {path.name: path.read_bytes() for path in archives.iterdir() if "_part" not in path.name}
    for zipped, stem in (("vox1_dev_wav.zip", "vox1_dev_wav_part"), ("vox2_aac.zip", "vox2_dev_aac_part")):
        contents[zipped] = b"".join(path.read_bytes() for path in sorted(archives.glob(f"{stem}*")))
    return contents


@pytest.fixture(scope="module")
def who_speaks(speech):
    """`who_speaks(samples)`: the source speaker of a stretch of one utterance, found by its bytes."""
    sources = {path: soundfile.read(path, dtype="int16")[0].tobytes() for path in speech.glob("wav/*/*/*.wav")}

    def find(samples: np.ndarray) -> str:
        found = {path.parts[-3] for path, content in sources.items() if samples.astype(np.int16).tobytes() in content}
        assert len(found) == 1, found
        return found.pop()

    return find


def files_of(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return [name for name in archive.namelist() if not name.endswith("/")]


def read_member(content: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(name)


def lines_of(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def test_the_checksums_are_those_of_the_joined_archives(miniature, joined):
    listed = {name: md5 for md5, name in lines_of(miniature / "checksums")}
    assert listed == {name: hashlib.md5(content).hexdigest() for name, content in joined.items()}
    assert {path.name for path in (miniature / "archives").glob("*_part*")} == {
        f"{stem}_parta{letter}" for stem in ("vox1_dev_wav", "vox2_dev_aac") for letter in "abc"
    }


@pytest.mark.parametrize(
    ("archive", "form", "speakers"),
    [
        ("vox1_dev_wav.zip", rf"wav/{FILE}\.wav", 4),
        ("vox1_test_wav.zip", rf"wav/{FILE}\.wav", 4),
        ("vox2_aac.zip", rf"dev/aac/{FILE}\.m4a", 2),
        ("vox2_test_aac.zip", rf"aac/{FILE}\.m4a", 1),
    ],
)
def test_members_of_the_zips_are_named_as_in_the_published_ones(joined, archive, form, speakers):
    names = files_of(joined[archive])
    assert all(re.fullmatch(form, name) for name in names)
    assert len(names) == speakers * SIZES.utterances
    assert len({name.split("/")[-3] for name in names}) == speakers


def test_some_videos_have_a_dash_or_an_underscore_at_their_begin_or_inside(joined):
    corpora = [archive for archive in joined if archive.startswith("vox")]
    videos = [name.split("/")[-2] for archive in corpora for name in files_of(joined[archive])]
    assert any(video[0] in "-_" for video in videos)
    assert any("-" in video[1:] for video in videos) and any("_" in video[1:] for video in videos)


def test_an_m4a_is_aac_of_the_speech_that_it_was_made_from(joined, speech, tmp_path):
    """Decoded by ffmpeg, at its best delay it correlates with one file of the source by above 0.9."""
    name = files_of(joined["vox2_aac.zip"])[0]
    (tmp_path / "x.m4a").write_bytes(read_member(joined["vox2_aac.zip"], name))
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,sample_rate,channels", "-of", "csv=p=0"]
    shown = subprocess.run([*probe, tmp_path / "x.m4a"], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "aac,16000,1"
    decode = ["ffmpeg", "-v", "error", "-i", tmp_path / "x.m4a", "-f", "s16le", "-"]
    stream = subprocess.run(decode, capture_output=True, check=True).stdout
    decoded = np.frombuffer(stream, dtype=np.int16).astype(float)

    def likeness(path: Path) -> float:
        source = soundfile.read(path, dtype="int16")[0].astype(float)
        size = 1 << 17
        product = np.fft.irfft(np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(source, size)))
        return np.abs(product).max() / np.linalg.norm(decoded) / np.linalg.norm(source)

    ranked = sorted((likeness(path) for path in speech.glob("wav/*/*/*.wav")), reverse=True)
    assert ranked[0] > 0.9 > ranked[1]


def test_every_label_of_the_trial_lists_is_true(miniature, joined, who_speaks):
    """By the bytes of the files, not by their names."""
    speakers = {}
    for archive in ("vox1_dev_wav.zip", "vox1_test_wav.zip"):
        for name in files_of(joined[archive]):
            samples = soundfile.read(io.BytesIO(read_member(joined[archive], name)), dtype="int16")[0]
            speakers[name.removeprefix("wav/")] = who_speaks(samples)
    paths = [*miniature.glob("lists/veri_test*.txt"), *miniature.glob("lists/list_test_*.txt")]
    assert len(paths) == 6
    for path in paths:
        trials = lines_of(path)
        assert len(set(map(tuple, trials))) == len(trials) > 0
        for label, enroll, test in trials:
            assert enroll != test
            assert (label == "1") == (speakers[enroll] == speakers[test])


def test_each_list_has_the_speakers_of_its_name(miniature, joined):
    with (miniature / "lists/vox1_meta.csv").open() as file:
        rows = {row["VoxCeleb1 ID"]: row for row in csv.DictReader(file, delimiter="\t")}
    lists = {path.name: lines_of(path) for path in (miniature / "lists").glob("*_test*.txt")}
    speakers = {name: {path.split("/")[0] for trial in trials for path in trial[1:]} for name, trials in lists.items()}
    assert speakers["veri_test.txt"] == {name for name, row in rows.items() if row["Set"] == "test"}
    assert speakers["list_test_all.txt"] == set(rows)
    for label, enroll, test in lists["list_test_hard.txt"]:
        one, other = rows[enroll.split("/")[0]], rows[test.split("/")[0]]
        assert label == "1" or (one["Gender"], one["Nationality"]) == (other["Gender"], other["Nationality"])
    for name in ("veri_test", "list_test_all", "list_test_hard"):
        whole, cleaned = lists[f"{name}.txt"], lists[f"{name}2.txt"]
        assert len(cleaned) < len(whole)
        assert [trial for trial in whole if trial in cleaned] == cleaned


def test_the_table_of_lists_counts_their_lines(miniature):
    with (miniature / "lists.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["list"] for row in rows] == ["o", "o_cleaned", "e", "e_cleaned", "h", "h_cleaned"]
    for row in rows:
        labels = [label for label, _, _ in lines_of(miniature / "lists" / row["file"])]
        assert (int(row["trials"]), int(row["target trials"])) == (len(labels), labels.count("1"))


def test_metadata_name_the_speakers_in_the_published_form(miniature, joined):
    header, *rows = (miniature / "lists/vox2_meta.csv").read_bytes().decode().splitlines()
    assert header == "\ufeffVoxCeleb2 ID,VGGFace2 ID,Gender,Set"
    assert all(re.fullmatch(r"id0\d{4} ,n0\d{5} ,[mf] ,(dev|test) ", row) for row in rows)
    files = [name for zipped in ("vox2_aac.zip", "vox2_test_aac.zip") for name in files_of(joined[zipped])]
    in_archives = {name.split("/")[-3] for name in files}
    assert {row.split(" ")[0] for row in rows} == in_archives
    tests = {name.split("/")[-3] for name in files_of(joined["vox1_test_wav.zip"])}
    assert all(10270 <= int(name[2:]) < 10310 for name in tests)


def test_real_metadata_are_used_where_they_are(tmp_path, speech):
    numbers = range(260, 280)
    rows = [f"id1{n:04d}\tName_{n}\t{'mf'[n % 2]}\tNorway\t{'dev' if n < 270 else 'test'}\n" for n in numbers]
    header = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
    (tmp_path / "vox1_meta.csv").write_text(header + "".join(rows))
    sizes = Sizes(**{**vars(SIZES), "vox1_dev": 2, "shared": 1})
    made = build_miniature(speech, None, tmp_path, tmp_path / "made", sizes)
    rows = (made / "lists/vox1_meta.csv").read_text().splitlines()[1:]
    assert all(re.fullmatch(r"id1(\d{4})\tName_\d+\t[mf]\tNorway\t(dev|test)", row) for row in rows)
    assert (made / "lists/voxceleb1_sitw_overlap.txt").read_text().startswith("Name_26")


def test_speakers_of_the_overlap_are_heard_in_sitw_and_no_others(miniature, joined, who_speaks):
    with (miniature / "lists/vox1_meta.csv").open() as file:
        names = {row["VoxCeleb1 ID"]: row["VGGFace1 ID"] for row in csv.DictReader(file, delimiter="\t")}
    dev = joined["vox1_dev_wav.zip"]
    voices = {}
    for name in files_of(dev):
        samples = soundfile.read(io.BytesIO(read_member(dev, name)), dtype="int16")[0]
        voices[names[name.split("/")[1]]] = who_speaks(samples)
    heard = set()
    for part in ("dev", "eval"):
        for path in lines_of(miniature / f"sitw/{part}/lists/test-core.lst"):
            heard.add(who_speaks(soundfile.read(miniature / "sitw" / part / path[0], dtype="int16")[0]))
    overlap = (miniature / "lists/voxceleb1_sitw_overlap.txt").read_text().splitlines()
    assert set(overlap) == {name for name, voice in voices.items() if voice in heard}
    assert len(overlap) == SIZES.shared


@pytest.mark.parametrize("part", ["dev", "eval"])
def test_sitw_audio_is_listed_with_its_checksum_and_twelve_fields_of_metadata(miniature, part):
    folder = miniature / "sitw" / part
    files = {f"audio/{path.name}" for path in (folder / "audio").iterdir()}
    assert {file: md5 for md5, file in lines_of(folder / "lists/audio_md5sum.lst")} == {
        file: hashlib.md5((folder / file).read_bytes()).hexdigest() for file in files
    }
    meta = lines_of(folder / "keys/meta.lst")
    assert {fields[0] for fields in meta} == files and len(meta) == len(files)
    for fields in meta:
        assert len(fields) == 12
        assert re.fullmatch(r"[A-Z]{4} [mf] [a-z]+ \d{6} \d+ \d+ \d\+? \S+ [0-4] \S+ \S+", " ".join(fields[1:]))
        seconds = soundfile.info(folder / fields[0]).duration
        assert abs(int(fields[6]) - int(fields[5]) - seconds) <= 0.5


@pytest.mark.parametrize("part", ["dev", "eval"])
def test_sitw_keys_are_true_by_the_speech_that_is_enrolled_and_tested(miniature, who_speaks, part):
    folder = miniature / "sitw" / part

    def read(path: str, begin: float = 0.0, end: float | None = None) -> np.ndarray:
        stop = None if end is None else round(end * 16000)
        return soundfile.read(folder / path, dtype="int16", start=round(begin * 16000), stop=stop)[0]

    core = {model: who_speaks(read(path)[:8000]) for model, path in lines_of(folder / "lists/enroll-core.lst")}
    enrolled = {"core": core, "assist": {}, "assistclean": {}}
    pieces = {}
    for condition in ("assist", "assistclean"):
        for model, path, begin, end in lines_of(folder / f"lists/enroll-{condition}.lst"):
            speaker = who_speaks(read(path, float(begin), float(end)))
            assert enrolled[condition].setdefault(model, speaker) == speaker
            pieces[model] = [*pieces.get(model, []), path]
    assert {len(pieces[model]) for model in enrolled["assist"]} == {2}
    assert {len(pieces[model]) for model in enrolled["assistclean"]} == {1}
    for enroll, models in enrolled.items():
        for test in ("core", "multi"):
            listed = [fields[0] for fields in lines_of(folder / f"lists/test-{test}.lst")]
            # The first and the last half second: of two speakers where the file has two.
            heard = {path: {who_speaks(read(path)[:8000]), who_speaks(read(path)[-8000:])} for path in listed}
            trials = lines_of(folder / f"keys/{enroll}-{test}.lst")
            assert [trial[:2] for trial in trials] == lines_of(folder / f"lists/trial.{enroll}-{test}.lst")
            assert {trial[0] for trial in trials} == set(models) and {trial[1] for trial in trials} == set(listed)
            for model, path, key in trials:
                assert (key == "tgt") == (models[model] in heard[path])
            assert {len(speakers) for speakers in heard.values()} == ({1} if test == "core" else {1, 2})


def test_two_files_of_one_session_have_the_same_speech_and_two_speakers_of_interest(miniature):
    folder = miniature / "sitw/dev"
    twins: dict[str, list[list[str]]] = {}
    for fields in lines_of(folder / "keys/meta.lst"):
        twins.setdefault(fields[4], []).append(fields)
    one, other = next(pair for pair in twins.values() if len(pair) == 2)
    assert one[1] != other[1]
    assert (folder / one[0]).read_bytes() == (folder / other[0]).read_bytes()


def test_musan_has_every_kind_with_annotations_of_all_its_files(joined):
    with tarfile.open(fileobj=io.BytesIO(joined["musan.tar.gz"])) as archive:
        contents = {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}
    wavs = [name for name in contents if name.endswith(".wav")]
    assert {name.split("/")[1] for name in wavs} == {"noise", "music", "speech"}
    for name in wavs:
        _, kind, source, file = name.split("/")
        assert re.fullmatch(rf"{kind}-{source}-\d{{4}}\.wav", file)
        annotated = [line.split()[0] for line in contents[f"musan/{kind}/{source}/ANNOTATIONS"].decode().splitlines()]
        assert file.removesuffix(".wav") in annotated
        assert f"musan/{kind}/{source}/LICENSE" in contents
        info = soundfile.info(io.BytesIO(contents[name]))
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16") and info.duration >= 2


def test_rirs_noises_lists_each_of_its_responses_and_they_die_away(joined):
    content = joined["rirs_noises.zip"]
    names = files_of(content)
    listed = []
    for folder in ("simulated_rirs/smallroom", "simulated_rirs/mediumroom", "simulated_rirs/largeroom"):
        lines = read_member(content, f"RIRS_NOISES/{folder}/rir_list").decode().split("\n")[:-1]
        size = folder.split("/")[1].removesuffix("room")
        for line in lines:
            path = rf"RIRS_NOISES/{folder}/\2/\1\.wav"
            assert re.fullmatch(rf"--rir-id {size}-(Room\d{{3}}-\d{{5}}) --room-id {size}-(Room\d{{3}}) {path}", line)
            listed.append(line.split()[-1])
    assert set(listed) == {name for name in names if name.endswith(".wav") and "simulated" in name}
    assert len(listed) == 3 * SIZES.rooms * SIZES.responses
    real = read_member(content, "RIRS_NOISES/real_rirs_isotropic_noises/rir_list").decode().split("\n")[:-1]
    assert {line.split()[-1] for line in real} < set(names)
    for name in [*listed, *(line.split()[-1] for line in real)]:
        response = soundfile.read(io.BytesIO(read_member(content, name)), always_2d=True)[0]
        power = (response**2).sum(axis=1)
        assert power.argmax() < 400
        assert power[-len(power) // 10 :].mean() < 1e-3 * power[: len(power) // 10].mean()


def test_the_same_options_give_the_same_bytes_and_another_seed_others(tmp_path, miniature, speech):
    again = build_miniature(speech, None, None, tmp_path / "again", SIZES)
    files = [path.relative_to(miniature) for path in miniature.rglob("*") if path.is_file()]
    assert len(files) == len([path for path in again.rglob("*") if path.is_file()])
    assert all((miniature / file).read_bytes() == (again / file).read_bytes() for file in files)
    other = build_miniature(speech, None, None, tmp_path / "other", Sizes(**{**vars(SIZES), "seed": 2}))
    assert (other / "lists/veri_test.txt").read_text() != (miniature / "lists/veri_test.txt").read_text()


def test_the_command_builds_what_the_function_builds(tmp_path, miniature, speech):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in vars(SIZES).items()]
    command = [sys.executable, ROOT / "tests/miniature/build.py", *options, speech, "-", "-", tmp_path / "made"]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})
    assert (tmp_path / "made/checksums").read_bytes() == (miniature / "checksums").read_bytes()


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"vox2_dev": 40}, ["18 speakers have 5 utterances or more", "the miniature needs 56"]),
        ({"utterances": 6}, ["0 speakers have 6 utterances or more"]),
        ({"utterances": 1}, ["--utterances 1", "at least 2"]),
        ({"parts": 27}, ["--parts 27", "at most 26"]),
        ({"shared": 5}, ["--shared 5", "VoxCeleb1 dev"]),
    ],
)
def test_sizes_that_cannot_be_are_refused_in_one_line_and_nothing_is_left(tmp_path, speech, sizes, words):
    with pytest.raises(InputError) as refused:
        build_miniature(speech, None, None, tmp_path / "made", Sizes(**{**vars(SIZES), **sizes}))
    assert all(word in str(refused.value) for word in words) and "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_overwritten(tmp_path, speech):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(InputError, match="is there already"):
        build_miniature(speech, None, None, tmp_path, SIZES)
    assert (tmp_path / "mine").read_text() == "precious"


def test_metadata_and_speech_that_are_something_else_are_refused_by_name(tmp_path, speech):
    (tmp_path / "vox1_meta.csv").write_text("VoxCeleb1 ID,VGGFace1 ID,Gender,Nationality,Set\n")
    with pytest.raises(InputError, match=r"vox1_meta\.csv:1: 1 fields between '\\t', expected 5"):
        build_miniature(speech, None, tmp_path, tmp_path / "made", SIZES)
    shutil.copytree(speech, tmp_path / "damaged")
    for path in tmp_path.glob("damaged/wav/*/*/u00.wav"):
        path.write_text("no audio")
    with pytest.raises(InputError, match=r"/u00\.wav: not audio"):
        build_miniature(tmp_path / "damaged", None, None, tmp_path / "made", SIZES)
    assert not (tmp_path / "made").exists()
