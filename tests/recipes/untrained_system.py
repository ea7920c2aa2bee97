"""An experiment directory as training leaves it, as far as anybody asks whom its network has seen; with no network."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from spk.data.files import file_digest


def write_untrained(folder: Path, data_dir: Path, *, init_from: Path | None = None, held_out: int = 0) -> Path:
    """All utterances of `data_dir` have features. `init_from`: another such directory."""
    utterances = [line.split()[0] for line in (data_dir / "utt2spk").open()]
    for name, value in (("feats.scp", "x.ark:1"), ("utt2num_frames", "100")):
        (data_dir / name).write_text("".join(f"{utterance} {value}\n" for utterance in utterances))
    folder.mkdir()
    (folder / "final.pt").write_text(folder.name)
    config = {"validation": {"speakers": held_out}, "seed": 1, "features": {"name": "fbank40"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    initial = None
    if init_from is not None:
        network = init_from / "final.pt"
        initial = {"file": str(network), "digest": file_digest(network)}
    digests = {name: file_digest(data_dir / name) for name in ("utt2spk", "utt2num_frames")}
    run = {"data": str(data_dir), "data_digests": digests, "init_from": initial}
    (folder / "run.json").write_text(json.dumps(run))
    return folder
