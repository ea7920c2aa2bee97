"""The recipes in a folder of their own, since they write below egs/, and what tests give them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from recipes.processes import kill_when

ROOT = Path(__file__).resolve().parents[2]
LINKED = ("path.sh", "steps", "utils", "local", "spk", ".venv")
LEFT_OUT = ("data", "exp", "corpora")
NOTES = ("log", ".decode_audio")  # what a step writes down whenever it looks for work

# A ResCNN that two epochs on a handful of speakers train in seconds.
SMALL = {
    "network.channels": "0.05",
    "network.embedding_dim": "16",
    "batch.size": "4",
    "batch.crop_frames": "80",
    "train.epochs": "2",
    "train.save_every": "4",
    "train.workers": "0",
    "train.threads": "1",
    "validation.speakers": "2",
    "validation.utterances_per_speaker": "4",
    "validation.every": "8",
}
SMALL_RESCNN = [f"--{key}={value}" for key, value in SMALL.items()]


class RecipeCopy:
    """egs/ of the repository copied below `folder`, with links to everything that the recipes use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "egs", folder / "egs", ignore=shutil.ignore_patterns(*LEFT_OUT))
        for name in LINKED:
            if (ROOT / name).exists():
                (folder / name).symlink_to(ROOT / name)

    def recipe(self, name: str) -> Path:
        return self.folder / "egs" / name

    def command(self, recipe: str, *options: object) -> list[str]:
        return [os.fspath(self.recipe(recipe) / "run.sh"), "--ngpu=0", *map(str, options)]

    def run(self, recipe: str, *options: object) -> subprocess.CompletedProcess[str]:
        """Run a recipe where it is, as a user does."""
        command = self.command(recipe, *options)
        return subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=self.recipe(recipe))

    def kill(self, recipe: str, *options: object, when) -> None:
        """Run a recipe, and kill it with all that it has started as soon as `when()`."""
        process = subprocess.Popen(
            self.command(recipe, *options),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.recipe(recipe),
        )
        try:
            kill_when(process, when)
        finally:
            process.kill()

    def made(self) -> dict[str, int]:
        """name -> time of change in ns, of all files but logs, notes and locks."""
        files = [path for path in (self.folder / "egs").rglob("*") if path.is_file()]
        files = [path for path in files if not {*NOTES} & {*path.parts} and not path.name.endswith(".lock")]
        return {os.fspath(path.relative_to(self.folder)): path.stat().st_mtime_ns for path in files}


def scores_of(exp: Path) -> dict[str, bytes]:
    """name -> content of each score list of a system."""
    return {path.name: path.read_bytes() for path in sorted(exp.glob("scores_*")) if not path.suffix}


def succeeds(finished: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished


def error_of(finished: subprocess.CompletedProcess[str]) -> str:
    """The last line of what went wrong; a traceback is none."""
    assert finished.returncode != 0
    assert "Traceback" not in finished.stderr
    return finished.stderr.strip().splitlines()[-1]


def find_speech(
    request: pytest.FixtureRequest, folder: Path, num_speakers: int
) -> tuple[Path, Path | None, Path | None]:
    """Real speech, noises and metadata where there are corpora; else synthetic speakers in `folder`, and neither."""
    try:
        corpora = request.getfixturevalue("corpora")
    except pytest.skip.Exception:
        corpora = Path("/nowhere")
    speech = corpora / "speechocean762"
    if not speech.is_dir():
        speech = folder / "espeak"
        options = ["--speakers", num_speakers, "--test-speakers", 2, "--utterances", 5, "--sessions", 2, "--nj", 1]
        command = [ROOT / "local/make_espeak_corpus", *options, speech]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
    others = (corpora / "noise-rir", corpora / "voxceleb-lists")
    return speech, *(path if path.is_dir() else None for path in others)
