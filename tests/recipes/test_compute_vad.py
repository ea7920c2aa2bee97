"""compute_vad as jobs: the same decisions for any number of them, what a kill leaves, and what is never overwritten."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pytest

NAMES = [f"s{number}-a" for number in range(7)]
SILENT = "s4-a"
THEIRS = "s0-a /theirs.ark:5\n"


@pytest.fixture
def data(tmp_path) -> Path:
    """Seven utterances whose log energy, the first value of a frame, comes and goes; one is silent."""
    folder = tmp_path / "data"
    folder.mkdir()
    random = np.random.default_rng(0)
    features = {
        name: random.uniform(0, 1 if name == SILENT else 16, (random.integers(50, 90), 3)).astype(np.float32)
        for name in NAMES
    }
    kaldiio.save_ark(str(folder / "feats.ark"), features, scp=str(folder / "feats.scp"))
    (folder / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in NAMES))
    return folder


def decisions(folder: Path) -> dict[str, list[float]]:
    return {name: vector.tolist() for name, vector in kaldiio.load_scp(str(folder / "vad.scp")).items()}


def expected(folder: Path) -> dict[str, list[float]]:
    energies = {name: matrix[:, 0] for name, matrix in kaldiio.load_scp(str(folder / "feats.scp")).items()}
    return {name: (energy > 5.5 + 0.5 * energy.mean()).astype(float).tolist() for name, energy in energies.items()}


def test_any_number_of_jobs_decides_the_same_and_is_done_once(data, shell):
    first = shell("compute_vad --nj 1 data", check=True)
    assert decisions(data) == expected(data)
    assert "compute_vad: 1 utterances have no voiced frame; they are listed in data/unvoiced" in first.stderr
    assert "already made" in shell("compute_vad --nj 3 data", check=True).stderr
    (data / ".vad.done").unlink()
    shell("compute_vad --nj 3 data", check=True)
    assert decisions(data) == expected(data)
    assert {path.name for path in (data / "vad").glob("*.ark")} == {"vad.1.ark", "vad.2.ark", "vad.3.ark"}
    assert (data / "unvoiced").read_text() == f"{SILENT}\n"
    assert not (data / ".backup").exists()


def test_a_killed_job_is_done_again_and_a_finished_one_is_kept(data, shell):
    shell("compute_vad data", check=True)
    whole, kept = (data / "vad.scp").read_bytes(), (data / "vad/vad.1.ark").stat().st_mtime_ns
    for name in ("vad.scp", ".vad.done", "vad/vad.scp", "vad/vad.2.scp", "vad/vad.2.ark"):
        (data / name).unlink()
    shell("compute_vad data", check=True)
    assert (data / "vad/vad.1.ark").stat().st_mtime_ns == kept
    assert (data / "vad.scp").read_bytes() == whole
    assert decisions(data) == expected(data)


@pytest.mark.parametrize("option", ["--vad-proportion-threshold 7", "--nj 0"])
def test_a_wrong_option_loses_nothing(data, shell, option):
    shell("compute_vad data", check=True)
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    failed = shell(f"compute_vad --vad-energy-threshold 5 {option} data")
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_the_voice_activity_of_another_program_is_set_aside_and_never_overwritten(data, shell):
    (data / "vad.scp").write_text(THEIRS)
    assert "data/vad.scp is moved to data/.backup/vad.scp\n" in shell("compute_vad data", check=True).stderr
    (data / ".vad.done").unlink()  # killed before the stamp, and then other options: still ours
    shell("compute_vad --vad-energy-threshold 5 data", check=True)
    (data / "vad.scp").write_text("s0-a /again.ark:5\n")
    shell("compute_vad data", check=True)
    backups = {path.name: path.read_text() for path in (data / ".backup").iterdir()}
    assert backups == {"vad.scp": THEIRS, "vad.scp.2": "s0-a /again.ark:5\n"}
    assert decisions(data) == expected(data)


def test_an_ark_of_another_program_is_refused(data, shell):
    (data / "vad").mkdir()
    for path in ("vad.scp", "vad/vad.1.ark"):
        (data / path).write_text(THEIRS)
    failed = shell("compute_vad data")
    assert failed.returncode == 1
    assert "compute_vad: error: data/vad holds files of another program; move it away" in failed.stderr
    assert [(data / path).read_text() for path in ("vad.scp", "vad/vad.1.ark")] == [THEIRS] * 2
