"""Whom a training holds out where the data directory has copies of its recordings: in noise, and at other speeds."""

from __future__ import annotations

import pytest

from spk.config import ValidationConfig
from spk.data.data_dir import read_table, write_table
from spk.data.trials import read_trials
from spk.errors import InputError
from spk.train.training_data import Speakers, read_training_data

VALIDATION = ValidationConfig(speakers=2, utterances_per_speaker=3)


def speaker_of(utterance):
    """'sp0.9-s3-1' and 's3-1-noise' -> 's3'"""
    return utterance.removeprefix("sp0.9-").split("-")[0]


def write_copies(data_dir, folder, originals=True, tables=("utt2uniq", "utt2augmentation")):
    """As utils/combine_data.sh joins a directory with copies in noise and at speed 0.9; features do not matter."""
    folder.mkdir()
    utt2spk, frames, places = (read_table(data_dir / name) for name in ("utt2spk", "utt2num_frames", "feats.scp"))
    rows = []
    for name, speaker in utt2spk.items():
        rows += [(name, speaker, name, "{}")] * originals
        rows.append((f"{name}-noise", speaker, name, '{"rir":"room.wav"}'))
        rows.append((f"sp0.9-{name}", f"sp0.9-{speaker}", name, '{"speed":0.9}'))
    write_table(folder / "utt2spk", {new: speaker for new, speaker, _, _ in rows})
    write_table(folder / "utt2num_frames", {new: frames[old] for new, _, old, _ in rows})
    write_table(folder / "feats.scp", {new: places[old] for new, _, old, _ in rows})
    if "utt2uniq" in tables:
        write_table(folder / "utt2uniq", {new: old for new, _, old, _ in rows})
    if "utt2augmentation" in tables:
        write_table(folder / "utt2augmentation", {new: said for new, _, _, said in rows})
    (folder / "feats.yaml").write_bytes((data_dir / "feats.yaml").read_bytes())
    return folder


@pytest.fixture
def combined(data_dir, tmp_path):
    return write_copies(data_dir, tmp_path / "combined")


@pytest.mark.parametrize("tables", [("utt2uniq", "utt2augmentation"), ("utt2uniq",)])
def test_no_copy_of_a_held_out_voice_trains_and_no_copy_validates(data_dir, tmp_path, tables):
    training, validating = read_training_data(
        write_copies(data_dir, tmp_path / "combined", tables=tables), VALIDATION, seed=3
    )
    held_out = set(validating.speakers)
    assert len(held_out) == 2 and held_out < {f"s{number}" for number in range(8)}
    assert set(validating.reader.utterances) < set(read_table(data_dir / "utt2spk"))
    named = [validating.speakers[label] for label in validating.labels]
    assert named == list(map(speaker_of, validating.reader.utterances)) and len(named) == 2 * 3
    assert {speaker_of(name) for name in training.reader.utterances} == {f"s{number}" for number in range(8)} - held_out
    assert len(training.labels) == 6 * 4 * 3  # all copies of the others
    assert len(training.speakers) == 6 * 2  # at another speed they are others


def test_the_same_voices_are_held_out_as_without_the_copies(data_dir, combined):
    for seed in range(5):
        _, alone = read_training_data(data_dir, VALIDATION, seed)
        _, among_copies = read_training_data(combined, VALIDATION, seed)
        assert among_copies.speakers == alone.speakers


@pytest.mark.parametrize("unsorted", ["utt2spk", "utt2num_frames", "utt2uniq", "utt2augmentation"])
def test_the_order_of_a_table_does_not_matter_but_that_of_the_features(combined, unsorted):
    expected = read_training_data(combined, VALIDATION, seed=3)
    path = combined / unsorted
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[::2] + lines[1::2]))
    for use, same in zip(read_training_data(combined, VALIDATION, seed=3), expected, strict=True):
        assert use.reader.utterances == same.reader.utterances and use.speakers == same.speakers
        assert use.labels.tolist() == same.labels.tolist() and use.num_frames.tolist() == same.num_frames.tolist()


def test_frames_that_are_no_number_are_said_with_the_table(data_dir):
    path = data_dir / "utt2num_frames"
    path.write_text(path.read_text().replace(" ", " many", 1))
    with pytest.raises(InputError, match=rf"^{path}: .*'many\d+', which is no number; run steps/make_feats"):
        read_training_data(data_dir, ValidationConfig(speakers=0), seed=3)


def test_copies_alone_make_no_validation(data_dir, tmp_path):
    copies = write_copies(data_dir, tmp_path / "copies", originals=False)
    with pytest.raises(InputError, match="too few utterances that are no augmented copies"):
        read_training_data(copies, VALIDATION, seed=3)
    training, _ = read_training_data(copies, ValidationConfig(speakers=0), seed=3)
    assert len(training.labels) == 8 * 4 * 2


def test_a_voice_is_the_speaker_whose_speed_was_changed():
    voices = Speakers.named(["P-sp0.9-a", "P-a", "P-b", "P-sp1.1-a", "Q-a", "wasp1.2-a"]).voices()
    assert voices.names[voices.labels].tolist() == ["P-a", "P-a", "P-b", "P-a", "Q-a", "wasp1.2-a"]


def test_speakers_of_two_corpora_whose_originals_have_one_name_are_two_voices(data_dir, combined):
    table = dict.fromkeys(read_table(combined / "utt2spk"), "s-1")
    (combined / "utt2uniq").write_text("".join(f"{name} {source}\n" for name, source in table.items()))
    training, validating = read_training_data(combined, VALIDATION, seed=3)
    assert len(validating.speakers) == 2 and len(training.speakers) == 6 * 2


def test_held_out_trials_are_of_recordings_as_they_are(train, system_yaml, combined, tmp_path, shell):
    assert train(system_yaml, combined, tmp_path / "exp", "--train.steps", "1").returncode == 0
    shell(f"held_out_trials {tmp_path}/exp {combined} {tmp_path}/held_out", check=True)
    _, validating = read_training_data(combined, VALIDATION, seed=3)
    utterances = set(read_table(tmp_path / "held_out" / "utt2spk"))
    assert utterances == {f"{speaker}-{number}" for speaker in validating.speakers for number in range(4)}
    trials = read_trials(tmp_path / "held_out" / "trials")
    assert set(trials.utterances) == utterances and trials.is_target.sum() == 2 * 6 and len(trials) == 28


def test_a_network_has_seen_a_voice_whose_copies_trained_it(train, system_yaml, combined, data_dir, tmp_path):
    short = ["--train.steps", "1"]
    assert train(system_yaml, combined, tmp_path / "first", *short).returncode == 0
    begun = [*short, "--init-from", tmp_path / "first"]
    assert "warning" not in train(system_yaml, data_dir, tmp_path / "same", *begun).stderr
    held_out = set(read_training_data(combined, VALIDATION, seed=3)[1].speakers)
    seen = set(read_training_data(data_dir, VALIDATION, seed=4)[1].speakers) - held_out
    assert seen
    done = train(system_yaml, data_dir, tmp_path / "other", *begun, "--seed", "4")
    assert f"was trained on {len(seen)} of the 2 held-out speakers" in done.stderr


def test_a_run_whose_table_of_originals_came_later_is_refused(train, system_yaml, combined, tmp_path, shell):
    exp, table = tmp_path / "exp", (combined / "utt2uniq").read_text()
    for name in ("utt2uniq", "utt2augmentation"):
        (combined / name).unlink()
    assert train(system_yaml, combined, exp, "--train.steps", "1").returncode == 0
    (combined / "utt2uniq").write_text(table)
    assert "other data (utt2uniq of" in train(system_yaml, combined, exp, "--train.steps", "1").stderr
    done = shell(f"held_out_trials {exp} {combined} {tmp_path}/held_out")
    assert done.returncode == 1 and f"was trained on other data than {combined} (its utt2uniq)" in done.stderr
