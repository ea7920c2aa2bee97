"""steps/augment_data_dir and the features that follow its plan: the same bytes however they are made."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile

from spk.data.augmentation import Augmentation, augment
from spk.data.data_dir import read_table
from spk.data.features import describe, join_shares, make_share, read_sources
from spk.errors import InputError

ALL = "--noises noise_train --music noise_train --babble noise_train --rirs rir_train"


def write_wave(path: Path, seconds: float, seed: int, channels: int = 1, rate: int = 16000) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).normal(size=(round(seconds * rate), channels))
    soundfile.write(path, samples, rate)
    return str(path)


@pytest.fixture
def source(tmp_path) -> Path:
    """12 utterances by 3 speakers; beside them directories of noises and of room responses."""
    folder = tmp_path / "clean"
    folder.mkdir()
    names = [f"s{number // 4}-u{number:02d}" for number in range(12)]
    tables = {
        "wav.scp": {name: write_wave(tmp_path / f"speech/{name}.wav", 1 + 0.2 * n, n) for n, name in enumerate(names)},
        "utt2spk": {name: name[:2] for name in names},
        "spk2gender": {"s0": "f", "s1": "m", "s2": "f"},
        "text": {name: f"words of {name}" for name in names},
    }
    tables["spk2utt"] = {s: " ".join(name for name in names if name[:2] == s) for s in ("s0", "s1", "s2")}
    for name, table in tables.items():
        (folder / name).write_text("".join(f"{key} {value}\n" for key, value in table.items()))
    for number in range(4):
        write_wave(tmp_path / f"own/noise/hum/{number}.wav", 0.5 + number, 100 + number)
        response = np.random.default_rng(number).normal(size=1600) * np.exp(-np.arange(1600) / 200)
        (tmp_path / "own/rir").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"own/rir/{number}.wav", 0.1 * response, 16000)
    command = 'prepare_noise_folders "$1/own" "$1"'
    root = Path(__file__).parents[2]
    subprocess.run(["bash", "-c", f'. "{root}/path.sh"; {command}', "bash", tmp_path], check=True, capture_output=True)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name[0] != "."}


def plan(folder: Path) -> dict[str, Augmentation]:
    return {name: Augmentation.from_json(line) for name, line in read_table(folder / "utt2augmentation").items()}


def features(folder: Path) -> dict[str, np.ndarray]:
    return dict(kaldiio.load_scp(str(folder / "feats.scp")).items())


def ark_records(folder: Path) -> dict[str, bytes]:
    """{utterance: the bytes of its record}, whichever ark it is in."""
    places = {name: place.rpartition(":") for name, place in read_table(folder / "feats.scp").items()}
    records = {}
    for ark in {place[0] for place in places.values()}:
        inside = sorted((int(offset), name) for name, (path, _, offset) in places.items() if path == ark)
        data = Path(ark).read_bytes()
        ends = [offset - len(name) - 1 for offset, name in inside[1:]] + [len(data)]
        records |= {name: data[offset:end] for (offset, name), end in zip(inside, ends, strict=True)}
    return records


# ---- the data directory


def test_every_utterance_gets_every_kind_and_the_tables_follow(source, shell, tmp_path):
    said = shell(f"augment_data_dir {ALL} --speeds 0.9,1.1 clean new", check=True).stderr
    assert "72 utterances (12 noise, 12 music, 12 babble, 12 reverb, 12 sp0.9, 12 sp1.1)" in said
    shell("validate_data_dir.sh new", check=True)
    new = tmp_path / "new"
    clean = read_table(source / "wav.scp")
    wav, speakers, durations = (read_table(new / name) for name in ("wav.scp", "utt2spk", "utt2dur"))
    assert wav["s1-u05-babble"] == wav["sp0.9-s1-u05"] == clean["s1-u05"]
    assert speakers["s1-u05-babble"] == "s1" and speakers["sp0.9-s1-u05"] == "sp0.9-s1"
    assert float(durations["s1-u05-noise"]) == 2.0
    assert durations["sp0.9-s1-u05"] == "2.22225"  # 35556 samples, 32000 / 0.9 rounded up
    assert read_table(new / "utt2uniq")["sp1.1-s2-u11"] == "s2-u11"
    assert read_table(new / "text")["s0-u00-music"] == "words of s0-u00"
    assert read_table(new / "spk2gender") == {
        f"{prefix}{name}": gender
        for prefix in ("", "sp0.9-", "sp1.1-")
        for name, gender in {"s0": "f", "s1": "m", "s2": "f"}.items()
    }
    drawn = plan(new)
    assert drawn["sp1.1-s0-u00"] == Augmentation(speed=1.1)
    assert 3 <= len(drawn["s0-u00-babble"].additions) <= 7 and len(drawn["s0-u00-music"].additions) == 1
    assert not (tmp_path / "speech" / "new").exists() and not list(new.rglob("*.wav"))


def test_one_seed_is_one_plan_and_a_second_call_does_nothing(source, shell, tmp_path):
    shell(f"augment_data_dir {ALL} clean one", check=True)
    shell(f"augment_data_dir {ALL} clean two", check=True)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").iterdir()}
    assert "one: already made" in shell(f"augment_data_dir {ALL} clean one", check=True).stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "one").iterdir()} == before
    said = shell(f"augment_data_dir {ALL} --seed 2 clean one", check=True).stderr
    assert "one is made again, because this changed: --seed" in said
    assert plan(tmp_path / "one").keys() == plan(tmp_path / "two").keys() and plan(tmp_path / "one") != plan(
        tmp_path / "two"
    )
    (tmp_path / "two/utt2augmentation").unlink()
    shell(f"augment_data_dir {ALL} clean two", check=True)
    assert (tmp_path / "two/utt2augmentation").exists()


def test_one_copy_of_a_drawn_kind_and_a_number_of_copies(source, shell, tmp_path):
    shell(f"augment_data_dir {ALL} --copies one clean one", check=True)
    assert sorted(read_table(tmp_path / "one/utt2uniq").values()) == sorted(read_table(source / "utt2spk"))
    shell(f"augment_data_dir {ALL} --number 20 clean twenty", check=True)
    assert len(plan(tmp_path / "twenty")) == 20
    shell(f"augment_data_dir {ALL} clean all", check=True)
    assert plan(tmp_path / "twenty").items() <= plan(tmp_path / "all").items()


def test_a_test_set_keeps_its_names_and_its_trials(source, shell, tmp_path):
    (source / "trials").write_text("s0-u00 s0-u01 target\ns0-u00 s1-u04 nontarget\n")
    (source / "trials_hard").write_text("s0-u00 s1-u04 nontarget\n")
    (source / "models_core").write_text("m s0-u00 s0-u01\n")
    shell(f"augment_data_dir {ALL} --same-names true clean noisy", check=True)
    shell("validate_data_dir.sh noisy", check=True)
    for name in ("wav.scp", "utt2spk", "spk2utt", "spk2gender", "text", "trials", "trials_hard", "models_core"):
        assert (tmp_path / "noisy" / name).read_bytes() == (source / name).read_bytes()
    drawn = plan(tmp_path / "noisy")
    assert drawn.keys() == read_table(source / "utt2spk").keys()
    assert all(augmentation != Augmentation() for augmentation in drawn.values())
    assert not (tmp_path / "noisy/utt2uniq").exists()


def test_speed_and_then_noise(source, shell, tmp_path):
    shell("augment_data_dir --speeds 0.9 --speed-speakers same clean slow", check=True)
    assert read_table(tmp_path / "slow/utt2spk")["s0-u00-sp0.9"] == "s0"
    shell(
        "augment_data_dir --noises noise_train --rirs rir_train --rir-probability 1 --copies one slow both", check=True
    )
    drawn = plan(tmp_path / "both")
    assert all(each.speed == 0.9 and each.rir for each in drawn.values())
    assert set(read_table(tmp_path / "both/utt2uniq").values()) == set(read_table(source / "utt2spk"))
    failed = shell("augment_data_dir --noises noise_train both more")
    assert failed.returncode == 1 and "is augmented already" in failed.stderr
    failed = shell("augment_data_dir --speeds 1.1 slow more")
    assert (
        failed.returncode == 1 and "is augmented already" in failed.stderr and not (tmp_path / "more/wav.scp").exists()
    )


def test_segments_keep_their_recordings(source, shell, tmp_path):
    recordings = read_table(source / "wav.scp")
    (source / "segments").write_text("s0-a s0-u03 0.25 1.25\ns1-a s1-u05 0.5 -1\ns1-b s1-u05 0.1 0.9\n")
    (source / "utt2spk").write_text("s0-a s0\ns1-a s1\ns1-b s1\n")
    for name in ("text", "spk2gender", "spk2utt"):
        (source / name).unlink()
    shell("augment_data_dir --music noise_train clean new", check=True)
    shell("validate_data_dir.sh new", check=True)
    assert read_table(tmp_path / "new/wav.scp") == {name: recordings[name] for name in ("s0-u03", "s1-u05")}
    assert read_table(tmp_path / "new/segments")["s1-b-music"] == "s1-u05 0.1 0.9"
    assert read_table(tmp_path / "new/utt2dur") == {"s0-a-music": "1", "s1-a-music": "1.5", "s1-b-music": "0.8"}


def test_lengths_come_from_utt2dur_and_what_has_none_is_left_out(source, shell, tmp_path):
    names = list(read_table(source / "utt2spk"))
    (source / "utt2dur").write_text("".join(f"{name} 60.5\n" for name in names[1:]))
    said = shell("augment_data_dir --music noise_train clean new", check=True).stderr
    assert "1 of 12 utterances are left out, listed in new/left_out.tsv" in said
    assert (tmp_path / "new/left_out.tsv").read_text() == "s0-u00\tclean/utt2dur\tdoes not have its length\n"
    assert set(read_table(tmp_path / "new/utt2dur").values()) == {"60.5"}
    assert "already made" in shell("augment_data_dir --music noise_train clean new", check=True).stderr
    (source / "utt2dur").write_text("".join(f"{name} 60.5\n" for name in names))
    said = shell("augment_data_dir --music noise_train clean new", check=True).stderr
    assert "new is made again, because this changed: what left utterances out" in said
    assert len(plan(tmp_path / "new")) == 12
    (source / "utt2dur").unlink()
    broken = Path(read_table(source / "wav.scp")["s0-u01"])
    sound = broken.read_bytes()
    broken.write_bytes(b"")
    shell("augment_data_dir --music noise_train clean other", check=True)
    assert (tmp_path / "other/left_out.tsv").read_text().endswith("s0-u01.wav\tempty file\n")
    assert len(plan(tmp_path / "other")) == 11
    assert "already made" in shell("augment_data_dir --music noise_train clean other", check=True).stderr
    broken.write_bytes(sound)
    os.utime(broken, (0, 0))  # by a clock that went back
    shell("augment_data_dir --music noise_train clean other", check=True)
    assert len(plan(tmp_path / "other")) == 12


def test_a_part_of_a_command_has_the_length_that_segments_says(source, shell, tmp_path):
    recordings = read_table(source / "wav.scp")
    (source / "wav.scp").write_text(f"r0 cat {recordings['s0-u00']} |\nr1 {recordings['s0-u01']}\n")
    (source / "segments").write_text("s0-u00 r0 0.25 0.75\ns0-u01 r1 0.2 1.3\n")  # the second ends at 1.2
    (source / "utt2spk").write_text("s0-u00 s0\ns0-u01 s0\n")
    for name in ("text", "spk2gender", "spk2utt"):
        (source / name).unlink()
    shell("augment_data_dir --music noise_train clean new", check=True)
    assert read_table(tmp_path / "new/utt2dur") == {"s0-u00-music": "0.5", "s0-u01-music": "1"}


def test_features_made_in_between_change_no_plan(source, shell, tmp_path):
    """Neither lengths that make_feats writes after resampling, nor an utterance that it rejects."""
    paths = read_table(source / "wav.scp")
    write_wave(Path(paths["s0-u00"]), 22051 / 22050, 50, rate=22050)
    write_wave(Path(paths["s0-u01"]), 44101 / 44100, 51, rate=44100)
    Path(paths["s0-u02"]).unlink()
    soundfile.write(paths["s0-u02"], np.full(16000, np.nan), 16000, subtype="FLOAT")
    shell("subset_data_dir.sh --utt-list <(grep -v u02 clean/utt2spk) clean talk", check=True)
    options = "--noises noise_train --babble talk --speeds 0.9"
    shell(f"augment_data_dir {options} clean new", check=True)
    drawn = content(tmp_path / "new")
    shell('for set in talk clean new; do make_feats --nj 1 --max-rejected 10 "$set" || exit 1; done', check=True)
    assert (source / "rejected.tsv").exists() and len(read_table(source / "utt2dur")) == 11
    before = content(tmp_path / "new")
    assert "new: already made" in shell(f"augment_data_dir {options} clean new", check=True).stderr
    assert content(tmp_path / "new") == before and "feats.scp" in before
    assert before["utt2augmentation"] == drawn["utt2augmentation"]
    rejected = [b"s0-u02-noise ", b"s0-u02-babble ", b"sp0.9-s0-u02 "]
    kept = [line for line in drawn["utt2dur"].splitlines(keepends=True) if not line.startswith(tuple(rejected))]
    assert b"".join(kept) == before["utt2dur"]
    # From the lengths of make_feats the same is drawn, for all that it could use.
    shell(f"augment_data_dir {options} clean afterwards", check=True)
    assert len(plan(tmp_path / "afterwards")) == 33
    assert plan(tmp_path / "afterwards").items() <= plan(tmp_path / "new").items()


def test_the_noises_that_are_drawn_from_make_another_plan(source, shell, tmp_path):
    shell("augment_data_dir --noises noise_train clean new", check=True)
    table = tmp_path / "noise_train/utt2dur"
    table.write_text(table.read_text().replace("3.5", "3.4"))
    said = shell("augment_data_dir --noises noise_train clean new", check=True).stderr
    assert "new is made again, because this changed: recordings of noise_train" in said


def test_a_source_at_another_speed_has_its_lengths_with_and_without_utt2dur(source, shell, tmp_path):
    shell("augment_data_dir --speeds 0.5 --speed-speakers same clean slow", check=True)
    shell("augment_data_dir --noises noise_train slow with", check=True)
    assert read_table(tmp_path / "with/utt2dur")["s0-u00-sp0.5-noise"] == "2"
    (tmp_path / "slow/utt2dur").unlink()
    shell("augment_data_dir --noises noise_train slow without", check=True)
    for name in ("utt2dur", "utt2augmentation"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()


def test_voice_activity_is_taken_along_unless_the_speed_changes(source, shell, tmp_path):
    names = list(read_table(source / "utt2spk"))
    (tmp_path / "vad.ark").touch()
    (source / "vad.scp").write_text("".join(f"{name} {tmp_path}/vad.ark:{n}\n" for n, name in enumerate(names)))
    shell("augment_data_dir --music noise_train clean new", check=True)
    assert read_table(tmp_path / "new/vad.scp")["s0-u02-music"] == f"{tmp_path}/vad.ark:2"
    shell("augment_data_dir --music noise_train --speeds 0.9 clean new", check=True)
    assert not (tmp_path / "new/vad.scp").exists()


WRONG_OPTIONS = {
    "": "nothing to augment with: give --noises",
    "--noises nowhere": "nowhere/wav.scp: no such file",
    "--noises noise_train --noise-snrs loud": "--noise-snrs 'loud': wanted numbers",
    "--noises noise_train --noise-snrs :": "--noise-snrs names no ratio",
    "--speeds 1": "--speeds 1: 1 is not from 0.5 to 2",
    "--speeds 0.9,0.9": "stands there twice",
    "--speeds 0.9 --same-names true": "does not go with --speeds",
    "--noises noise_train --number 5 --same-names true": "does not go with --number",
    "--noises noise_train --number 13": "--number 13: there are only 12 copies",
    "--noises noise_train --rir-probability 0.5": "--rir-probability needs --rirs",
    "--rirs rir_train --rir-probability nan": "--rir-probability nan: must be from 0 to 1",
    "--noises noise_train --seed -1": "--seed -1: must not be negative",
}


def test_a_wrong_option_is_named_and_nothing_is_written(source, shell, tmp_path):
    for options, message in WRONG_OPTIONS.items():
        failed = shell(f"augment_data_dir {options} clean new")
        *_, last = failed.stderr.splitlines()
        assert failed.returncode == 1 and last.startswith("augment_data_dir: error: ") and message in last, (
            failed.stderr
        )
    assert not (tmp_path / "new/utt2augmentation").exists()


def test_copies_that_would_share_a_name_are_refused_with_what_they_are_copies_of(source, shell, tmp_path):
    for table, value in (("utt2spk", "s0"), ("wav.scp", f"{tmp_path}/speech/s0-u00.wav"), ("utt2dur", "2")):
        (source / table).write_text(f"s0-a-music {value}\nsp0.9-s0-a {value}\n")
    failed = shell("augment_data_dir --music noise_train --speeds 0.9 clean new")
    assert "clean: copies of 'sp0.9-s0-a' and 's0-a-music' would share one name" in failed.stderr
    assert failed.returncode == 1 and not (tmp_path / "new/utt2spk").exists()


def test_utterances_without_audio_are_named(source, shell, tmp_path):
    (source / "utt2dur").write_text("".join(f"{name} 2\n" for name in read_table(source / "utt2spk")))
    (source / "wav.scp").write_text((source / "wav.scp").read_text().split("\n", 1)[1])
    failed = shell("augment_data_dir --music noise_train clean new")
    assert failed.returncode == 1 and not (tmp_path / "new/utt2spk").exists()
    assert "clean/wav.scp: lacks utterances, 1: s0-u00 (run utils/fix_data_dir.sh clean)" in failed.stderr


def test_what_cannot_be_a_source_or_noise_is_refused(source, shell, tmp_path):
    music = "--music noise_train"
    assert "is the source, too" in shell(f"augment_data_dir {music} clean clean").stderr
    assert "is no data directory with audio" in shell(f"augment_data_dir {music} nowhere new").stderr
    names = (source / "wav.scp").read_text()
    (source / "wav.scp").write_text(names.replace(f"{tmp_path}/speech/s0-u00.wav", "cat s0-u00.wav |"))
    failed = shell(f"augment_data_dir {music} clean new")
    assert failed.returncode == 1 and "'s0-u00' comes from a command, so clean/utt2dur has to say" in failed.stderr
    table = (tmp_path / "noise_train/wav.scp").read_text()
    (tmp_path / "noise_train/wav.scp").write_text(table + "z cat z.wav |\n")
    assert "noise_train/wav.scp:5: 'z' is a command" in shell(f"augment_data_dir {music} clean new").stderr
    (source / "wav.scp").write_text(names)


# ---- the features


def test_features_have_the_same_bytes_for_any_number_of_jobs_and_after_a_kill(source, shell, root, tmp_path):
    for folder in ("one", "three"):
        shell(f"augment_data_dir {ALL} --speeds 0.9,0.95,1.1 clean {folder}", check=True)
    step = subprocess.Popen(
        [root / "steps" / "make_feats", "--nj", "1", "one"],
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    journal, end = tmp_path / "one/feats/feats_one.1.journal", time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 10):
        assert step.poll() is None and time.monotonic() < end
        time.sleep(0.002)
    os.killpg(step.pid, signal.SIGKILL)
    step.wait()
    assert not (tmp_path / "one/feats.scp").exists()
    shell("make_feats --nj 1 one", check=True)
    assert "were made before" in (tmp_path / "one/log/make_feats.1.log").read_text()
    shell("make_feats --nj 3 three", check=True)
    one, three = tmp_path / "one", tmp_path / "three"
    assert ark_records(one) == ark_records(three) and len(ark_records(one)) == 84
    for name in ("utt2num_frames", "utt2dur"):
        assert (one / name).read_bytes() == (three / name).read_bytes()
    # A frame every 160 samples, the first and the last included: 16000 samples have 101, 17778 at 0.9 have 112.
    frames = read_table(one / "utt2num_frames")
    assert frames["s0-u00-noise"] == frames["s0-u00-reverb"] == "101" and frames["sp0.9-s0-u00"] == "112"
    assert float(read_table(one / "utt2dur")["sp0.9-s0-u00"]) == pytest.approx(1 / 0.9, abs=1e-4)


def test_features_are_those_of_the_augmented_samples(source, tmp_path, shell):
    shell(f"augment_data_dir {ALL} --speeds 0.9 clean new", check=True)

    class Samples:
        """A front end that changes nothing."""

        sample_rate, min_samples, samples_at_once = 16000, 1, 0

        def __call__(self, waves: list[np.ndarray]) -> list[np.ndarray]:
            return [samples[:, None] for samples in waves]

    new = tmp_path / "new"
    sources = read_sources(new, allow_pipes=False)
    make_share(sources, new / "s.1", describe(sources, {"name": "samples"}, 0, str(new)), Samples, allow_pipes=False)
    join_shares(new, [str(new / "s.1")], max_rejected=0)
    made, paths = features(new), read_table(new / "wav.scp")
    for name, augmentation in plan(new).items():
        clean = soundfile.read(paths[name], dtype="float32")[0]
        np.testing.assert_array_equal(made[name][:, 0], augment(clean, 16000, augmentation))
        if len(augmentation.additions) == 1:
            added = made[name][:, 0] - clean
            start, seconds = round(16000 * augmentation.additions[0].at), augmentation.additions[0].seconds
            stretch = added[start:] if seconds is None else added[start : start + round(16000 * seconds)]
            ratio = 10 * np.log10(np.mean(clean.astype(float) ** 2) / np.mean(stretch.astype(float) ** 2))
            assert ratio == pytest.approx(augmentation.additions[0].snr, abs=0.1)


def test_a_clean_utterance_beside_augmented_ones_keeps_its_bytes(source, shell, tmp_path):
    shell("make_feats --nj 1 clean", check=True)
    alone = ark_records(source)
    shell("augment_data_dir --noises noise_train clean noisy; copy_data_dir.sh clean bare", check=True)
    for name in ("feats.scp", "feats.yaml", "utt2num_frames"):
        (tmp_path / "bare" / name).unlink()
    shell("combine_data.sh both bare noisy && validate_data_dir.sh both && make_feats --nj 1 both", check=True)
    together = ark_records(tmp_path / "both")
    assert len(together) == 24 and alone.items() <= together.items()


def test_a_changed_plan_makes_the_features_again_and_an_unchanged_one_does_not(source, shell, tmp_path):
    shell("augment_data_dir --noises noise_train clean new && make_feats --nj 1 new", check=True)
    first = ark_records(tmp_path / "new")
    assert "already made" in shell("make_feats --nj 1 new", check=True).stderr
    shell("augment_data_dir --noises noise_train --seed 2 clean new", check=True)
    assert not (tmp_path / "new/feats.scp").exists()
    said = shell("make_feats --nj 1 new", check=True).stderr
    assert "already made" not in said
    assert sum(record != first[name] for name, record in ark_records(tmp_path / "new").items()) > 6


def test_a_noise_that_is_gone_rejects_its_utterances_by_name_until_it_is_back(source, shell, tmp_path):
    shell("augment_data_dir --music noise_train clean new", check=True)
    paths = {name: each.additions[0].path for name, each in plan(tmp_path / "new").items()}
    gone = Path(paths["s0-u00-music"])
    users = [name for name, path in paths.items() if path == str(gone)]
    content = gone.read_bytes()
    gone.unlink()
    failed = shell("make_feats --nj 1 new")
    assert failed.returncode == 1 and f"{len(users)} of 12 utterances" in failed.stderr
    expected = [f"{name}\t{gone}\tnoise: no such file or directory" for name in users]
    assert (tmp_path / "new/rejected.tsv").read_text().splitlines() == expected
    gone.write_bytes(content)
    shell("make_feats --nj 1 new", check=True)
    assert len(features(tmp_path / "new")) == 12 and not (tmp_path / "new/rejected.tsv").exists()


def test_a_line_that_is_no_augmentation_is_named(source, shell, tmp_path):
    shell("augment_data_dir --music noise_train clean new", check=True)
    table = tmp_path / "new/utt2augmentation"
    lines = table.read_text().splitlines()
    lines[2] = f"{lines[2].split()[0]} loud"
    table.write_text("".join(f"{line}\n" for line in lines))
    failed = shell("validate_data_dir.sh new")
    assert failed.returncode == 1 and "new/utt2augmentation:3: 's0-u02-music': 'loud' is not JSON" in failed.stderr
    with pytest.raises(InputError, match="utt2augmentation:3: 's0-u02-music': 'loud' is not JSON"):
        read_sources(tmp_path / "new", allow_pipes=False)


# ---- the tools


def test_the_tools_know_that_an_utterance_without_a_line_is_clean(source, shell, tmp_path):
    one = Augmentation(speed=0.9).to_json()
    (source / "utt2augmentation").write_text(f"s1-u05 {one}\ns9-x {one}\n")
    failed = shell("validate_data_dir.sh clean")
    assert (
        failed.stderr.count("utt2augmentation") == 1
        and "has utterances that are not in utt2spk, 1: s9-x" in failed.stderr
    )
    shell("fix_data_dir.sh clean && validate_data_dir.sh clean", check=True)
    assert len(read_table(source / "utt2spk")) == 12 and (source / "utt2augmentation").read_text() == f"s1-u05 {one}\n"
    shell("subset_data_dir.sh --first clean 5 first && validate_data_dir.sh first", check=True)
    assert not read_table(tmp_path / "first/utt2augmentation")
    shell("copy_data_dir.sh --spk-prefix x- --utt-prefix x- clean copy && validate_data_dir.sh copy", check=True)
    assert (tmp_path / "copy/utt2augmentation").read_text() == f"x-s1-u05 {one}\n"
    shell("split_data.sh clean 3", check=True)
    parts = [(source / f"split3/{part}/utt2augmentation").read_text() for part in (1, 2, 3)]
    assert parts == ["", f"s1-u05 {one}\n", ""]
    (source / "utt2spk").write_text(
        "".join(f"{name} {name[:2]}\n" for name in read_table(source / "utt2spk") if name < "s1-u05")
    )
    shell("fix_data_dir.sh clean && validate_data_dir.sh clean", check=True)
    assert (source / "utt2augmentation").read_text() == ""


def test_one_name_for_a_clean_and_a_noisy_utterance_does_not_combine(source, shell):
    shell("augment_data_dir --music noise_train --same-names true clean noisy", check=True)
    (source / "utt2dur").write_bytes((source.parent / "noisy/utt2dur").read_bytes())
    failed = shell("combine_data.sh both clean noisy")
    assert failed.returncode == 1 and "noisy/utt2augmentation: 's" in failed.stderr
