"""What the run.sh files share: stages, paths in options, names of outputs, data options, the environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from recipes.untrained_system import write_untrained


@pytest.fixture
def recipe(tmp_path):
    """`recipe(body)` writes a run.sh with that body into an own folder, and returns its path."""

    def write(body: str) -> Path:
        path = tmp_path / "recipe" / "run.sh"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{body}\n")
        path.chmod(0o755)
        return path

    return write


def write_data(folder: Path, speakers: dict[str, int]) -> Path:
    """A data directory's utt2spk with so many utterances of each speaker."""
    folder.mkdir(parents=True)
    lines = [f"{speaker}-{number} {speaker}\n" for speaker, count in speakers.items() for number in range(count)]
    (folder / "utt2spk").write_text("".join(sorted(lines)))
    return folder


STAGES = """stage=1 stop_stage=3
. parse_options.sh
. stages.sh
for n in 0 1 2 3 4; do if in_stage $n it; then echo $n; fi; done"""


@pytest.mark.parametrize(
    ("options", "run"),
    [
        ("", "1 2 3"),
        ("--stage 2", "2 3"),
        ("--stop-stage 2", "1 2"),
        ("--stage 2 --stop-stage 2", "2"),
        ("--stage 0", "0 1 2 3"),
    ],
)
def test_stages_from_the_first_to_the_last_that_is_asked_for(shell, recipe, options, run):
    assert shell(f"{recipe(STAGES)} {options}", check=True).stdout.split() == run.split()


@pytest.mark.parametrize("options", ["--stage x", "--stage -1", "--stage ''", "--stop-stage 2.5", "--stage 4", "word"])
def test_a_wrong_stage_is_an_error(shell, recipe, options):
    finished = shell(f"{recipe(STAGES)} {options}")
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert len(finished.stderr.splitlines()) == 1


def test_need_names_the_file_and_the_stage(shell, recipe):
    script = recipe("stage=1 stop_stage=3\n. stages.sh\nneed 2 run.sh data/feats.scp\necho on")
    finished = shell(f"cd {script.parent} && ./run.sh")
    assert finished.returncode == 1
    assert "data/feats.scp" in finished.stderr
    assert "stage 2" in finished.stderr
    assert "on" not in finished.stdout


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("", ""),
        ("here", "{user}/here"),
        ("new", "{user}/new"),
        ("/anywhere/else", "/anywhere/else"),
        ("conf/x.yaml", "conf/x.yaml"),  # only the recipe has it
        ("both", "{user}/both"),  # what the user sees goes first
        ("../recipe/conf/x.yaml", "conf/x.yaml"),
        ("here,new", "{user}/here,{user}/new"),
        ("with space,here/", "{user}/with space,{user}/here"),
        ("$(touch bad)", "{user}/$(touch bad)"),
    ],
)
def test_paths_in_options_are_from_where_the_user_stands(shell, recipe, tmp_path, given, seen):
    script = recipe('path=$1\nset --\n. enter_recipe.sh path\nprintf "%s|%s" "$path" "$PWD"')
    user = tmp_path / "user"
    for folder in (user / "here", user / "both", script.parent / "conf", script.parent / "both"):
        folder.mkdir(parents=True)
    (script.parent / "conf" / "x.yaml").touch()
    path, folder = shell('"$1" "$2"', script, given, cwd=user, check=True).stdout.split("|")
    assert path == seen.format(user=user)
    assert folder == os.fspath(script.parent)
    assert not (user / "bad").exists()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("name_of_folders corpus/espeak", "espeak"),
        ("name_of_folders /a/wsj,b/an4/", "wsj+an4"),
        ("name_of_system conf/resnet34.yaml", "resnet34"),
        ("name_of_system x/am.yaml --loss.margin 0.3 --seed 2", "am_loss.margin=0.3_seed=2"),
        ("name_of_system am.yaml --loss.name '../up down'", "am_loss.name=..-up-down"),
        ("name_of_trials data/vox1 data/vox1/trials", "vox1"),
        ("name_of_trials data/vox1 data/vox1/trials_hard", "vox1_hard"),
        ("name_of_trials data/vox1 /lists/veri.txt", "vox1_veri.txt"),
    ],
)
def test_outputs_are_named_after_what_they_are_made_from(shell, call, name):
    assert shell(f". names.sh; {call}", check=True).stdout == name


DATA_OPTIONS = """train_data=$1 test_data=$2 enroll_data=$3 trials=$4
set --
. data_options.sh
for i in "${!trial_lists[@]}"; do echo "${trial_lists[i]} ${list_enroll[i]} ${list_test[i]}"; done"""


@pytest.fixture
def prepared(tmp_path):
    """Data directories train, one (trials), two (trials_a, trials_b), models."""
    for name in ("train", "one", "two", "models", "bare"):
        write_data(tmp_path / name, {name: 1})
    for name in ("one/trials", "two/trials_a", "two/trials_b", "more"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("test_data", "enroll_data", "trials", "expected"),
    [
        ("one", "", "", ["one/trials one one"]),
        ("one,two", "", "", ["one/trials one one", "two/trials_a two two", "two/trials_b two two"]),
        ("one", "models", "", ["one/trials models one"]),
        ("one", "", "more,two/trials_a", ["more one one", "two/trials_a one one"]),
    ],
)
def test_every_list_of_a_test_directory_is_found(shell, recipe, prepared, test_data, enroll_data, trials, expected):
    arguments = ("train", test_data, enroll_data, trials)
    finished = shell('"$@"', recipe(DATA_OPTIONS), *arguments, cwd=prepared, check=True)
    assert finished.stdout.splitlines() == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("", "one", "", ""), ["--train-data"]),
        (("train", "", "", ""), ["--test-data"]),
        (("nowhere", "one", "", ""), ["--train-data", "nowhere"]),
        (("train", "one,nowhere", "", ""), ["--test-data", "nowhere"]),
        (("train", "one,two", "models", ""), ["--enroll-data"]),
        (("train", "one,two", "", "more"), ["--trials"]),
        (("train", "one", "", "nowhere"), ["nowhere"]),
        (("train", "bare", "", ""), ["bare/trials"]),
    ],
)
def test_wrong_data_options_are_one_line(shell, recipe, prepared, arguments, words):
    finished = shell('"$@"', recipe(DATA_OPTIONS), *arguments, cwd=prepared)
    assert finished.returncode == 1
    assert len(finished.stderr.splitlines()) == 1
    assert all(word in finished.stderr for word in words)


def test_two_data_directories_of_one_name_are_refused(shell, recipe, prepared):
    write_data(prepared / "other" / "train", {"x": 1})
    (prepared / "other" / "train" / "trials").touch()
    finished = shell('"$@"', recipe(DATA_OPTIONS), "train", "other/train", "", "", cwd=prepared)
    assert finished.returncode == 1
    assert "'train'" in finished.stderr


def test_disjoint_speakers_pass_in_silence(shell, tmp_path):
    train, test = write_data(tmp_path / "train", {"a": 2, "b": 3}), write_data(tmp_path / "test", {"c": 2})
    assert shell(f"check_disjoint_speakers {train} {test}", check=True).stdout == ""


def test_shared_speakers_are_refused_counted_and_listed(shell, tmp_path):
    train = write_data(tmp_path / "train", {"a": 2, "b": 3, "c": 1})
    one, two = write_data(tmp_path / "one", {"b": 2, "c": 4, "d": 1}), write_data(tmp_path / "two", {"e": 2})
    finished = shell(f"check_disjoint_speakers {train} {one} {two}")
    assert finished.returncode == 1
    assert finished.stdout.splitlines() == [f"b\t3\t2\t{one}", f"c\t1\t4\t{one}"]
    assert "2 of the 3 speakers" in finished.stderr
    assert "two" not in finished.stderr


def test_copies_at_other_speeds_are_the_same_speaker(shell, tmp_path):
    train = write_data(tmp_path / "train", {"sp0.9-a": 2, "a": 1, "b": 3})
    test = write_data(tmp_path / "test", {"a": 4, "sp1.1-b": 2, "c": 1})
    finished = shell(f"check_disjoint_speakers {train} {test}")
    assert finished.returncode == 1
    assert finished.stdout.splitlines() == [f"a\t1\t4\t{test}", f"b\t3\t2\t{test}", f"sp0.9-a\t2\t4\t{test}"]
    assert "2 of the 3 speakers" in finished.stderr


@pytest.fixture
def systems(tmp_path) -> Path:
    """`first`, trained on the speakers a, b and c, some held out; `second`, which began from it, trained on d and e."""
    write_untrained(tmp_path / "first", write_data(tmp_path / "abc", {"a": 2, "sp0.9-b": 2, "c": 2}), held_out=1)
    write_untrained(tmp_path / "second", write_data(tmp_path / "de", {"d": 2, "e": 2}), init_from=tmp_path / "first")
    return tmp_path


@pytest.mark.parametrize("system", ["first", "second"])
def test_speakers_whom_the_initial_network_or_its_own_has_seen_are_refused_and_listed(systems, shell, system):
    train = write_data(systems / "train", {"x": 2})
    test, other = (
        write_data(systems / "test", {"a": 1, "b": 2, "c": 3, "z": 1}),
        write_data(systems / "other", {"z": 1}),
    )
    shell(f"check_disjoint_speakers --init-from {systems / system} {train} {other}", check=True)
    shell(f"check_disjoint_speakers {train} {test}", check=True)
    finished = shell(f"check_disjoint_speakers --init-from {systems / system} {train} {test} {other}")
    assert finished.returncode == 1
    assert finished.stdout.splitlines() == [f"a\t0\t1\t{test}", f"b\t0\t2\t{test}", f"c\t0\t3\t{test}"]
    assert finished.stderr.splitlines() == [
        f"check_disjoint_speakers: error: the network of {systems / system} cannot begin a system for these tests: it "
        f"has seen 3 of the 4 speakers of {test} (listed above); start from another, or from none"
    ]


def test_what_is_not_known_of_the_initial_network_is_one_warning_and_the_rest_is_checked(systems, shell):
    train, test = write_data(systems / "train", {"x": 2}), write_data(systems / "test", {"a": 1, "d": 2})
    shutil.rmtree(systems / "abc")
    finished = shell(f"check_disjoint_speakers --init-from {systems / 'second'} {train} {test}")
    assert (finished.returncode, finished.stdout) == (1, f"d\t0\t2\t{test}\n")
    assert f"not all is known of whom the network of {systems / 'second'} has seen: " in finished.stderr
    (systems / "de" / "utt2spk").unlink()
    passed = shell(f"check_disjoint_speakers --init-from {systems / 'second'} {train} {test}", check=True)
    assert len(passed.stderr.splitlines()) == 1
    untrained = shell(f"check_disjoint_speakers --init-from {systems / 'none'} {train} {test}", check=True)
    assert f"{systems / 'none' / 'final.pt'} is not there, so whom it has seen is not known" in untrained.stderr


@pytest.fixture
def checkout(root, tmp_path):
    """A repository's root with only what setup_environment.sh needs, and nothing to install."""
    folder = tmp_path / "checkout"
    (folder / "utils").mkdir(parents=True)
    script = folder / "utils" / "setup_environment.sh"
    script.write_bytes((root / "utils" / "setup_environment.sh").read_bytes())
    script.chmod(0o755)
    (folder / "requirements.txt").write_text("# nothing\n")
    return folder


def set_up(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [checkout / "utils" / "setup_environment.sh"]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120)


def test_the_environment_is_made_once_and_anew_after_an_interruption(checkout):
    first = set_up(checkout)
    assert first.returncode == 0, first.stderr
    assert "making .venv" in first.stderr
    assert (checkout / ".venv" / "bin" / "python3").exists()
    assert set_up(checkout).stderr == ""

    (checkout / ".venv.unfinished").touch()
    (checkout / ".venv" / "half-installed").touch()
    assert "making .venv" in set_up(checkout).stderr
    assert not (checkout / ".venv" / "half-installed").exists()

    (checkout / "requirements.txt").write_text("# nothing, again\n")
    assert "has changed" in set_up(checkout).stderr
    assert set_up(checkout).stderr == ""


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("exit 1", ["does not run"]),
        ('case "$2" in *print*) echo 3.9 ;; *) exit 1 ;; esac', ["is Python 3.9", "3.10 or newer"]),
        ('case "$2" in *ensurepip*) exit 1 ;; *print*) echo 3.11 ;; esac', ["venv is missing", "python3-venv"]),
    ],
)
def test_a_python_that_will_not_do_is_one_clear_line(checkout, tmp_path, python, words):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{python}\n")
    fake.chmod(0o755)
    finished = set_up(checkout, SPK_PYTHON=os.fspath(fake))
    assert finished.returncode == 1
    assert len(finished.stderr.splitlines()) == 1
    assert all(word in finished.stderr for word in words), finished.stderr
    assert not (checkout / ".venv").exists()


def test_without_python_the_error_says_so(checkout):
    finished = set_up(checkout, SPK_PYTHON="no-such-python")
    assert finished.returncode == 1
    assert "no-such-python is not installed" in finished.stderr
