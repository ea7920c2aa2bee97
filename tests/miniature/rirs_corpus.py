"""RIRS_NOISES: simulated_rirs/<size>room/Room001/Room001-00001.wav and a few real rooms, each with its rir_list.

The simulated responses are those of a folder where there is one; else, and for the real rooms, noise that decays
exponentially behind the direct path.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from miniature.packing import audio_bytes
from miniature.source_speech import RATE

ROOT = "RIRS_NOISES"
SECONDS_TO_FALL_60_DB = {"small": 0.3, "medium": 0.6, "large": 0.9}
REAL = {
    "RVB2014_type1_rir_largeroom1_near_angla": ("RVB2014_largeroom1", 8),
    "RWCP_type1_rir_cirline_jr1_imp010": ("RWCP_cirline_jr1", 1),
    "air_type1_air_binaural_booth_0_1_1": ("air_air_binaural_booth_0_1", 1),
}
ISOTROPIC = {"RVB2014_type1_noise_largeroom1_1": "RVB2014_largeroom1"}


def rirs_members(
    noise_rir: Path | None, rooms: int, responses: int, generator: np.random.Generator
) -> dict[str, bytes]:
    """Member of rirs_noises.zip -> content: of each size `rooms` rooms with `responses` responses."""
    members = {f"{ROOT}/README": b"Room impulse responses and noises, in miniature\n"}
    for size, fall in SECONDS_TO_FALL_60_DB.items():
        found = sorted((noise_rir / "rir").glob(f"{size}_*.flac")) if noise_rir is not None else []
        folder, lines, rooms_info = f"{ROOT}/simulated_rirs/{size}room", [], []
        for room in range(rooms):
            own = f"Room{room + 1:03d}"
            rooms_info.append(f"{own} 10.00 8.00 3.00 4.00 3.00 1.50 0.50\n")
            for response in range(responses):
                name, position = f"{own}-{response + 1:05d}", room * responses + response
                path = f"{folder}/{own}/{name}.wav"
                fitting = position < len(found)
                samples = read_response(found[position]) if fitting else draw_response(fall, 1, generator)
                members[path] = audio_bytes(samples, RATE)
                lines.append(f"--rir-id {size}-{name} --room-id {size}-{own} {path}\n")
        members[f"{folder}/rir_list"] = "".join(lines).encode()
        members[f"{folder}/room_info"] = "".join(rooms_info).encode()
    members |= real_members(generator)
    return members


def real_members(generator: np.random.Generator) -> dict[str, bytes]:
    """Real rooms in one folder with isotropic noises; the first is of eight channels, as those of REVERB 2014 are."""
    folder = f"{ROOT}/real_rirs_isotropic_noises"
    members, rirs, noises = {}, [], []
    for number, (name, (room, channels)) in enumerate(REAL.items(), start=1):
        members[f"{folder}/{name}.wav"] = audio_bytes(draw_response(0.5, channels, generator), RATE)
        rirs.append(f"--rir-id {number:05d} --room-id {room} {folder}/{name}.wav\n")
    for number, (name, room) in enumerate(ISOTROPIC.items(), start=1):
        members[f"{folder}/{name}.wav"] = audio_bytes(0.05 * generator.standard_normal((2 * RATE, 8)), RATE)
        line = f"--noise-id {number:05d} --noise-type isotropic --room-linkage {room} {folder}/{name}.wav\n"
        noises.append(line)
    members[f"{folder}/rir_list"] = "".join(rirs).encode()
    members[f"{folder}/noise_list"] = "".join(noises).encode()
    return members


def read_response(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


def draw_response(fall: float, channels: int, generator: np.random.Generator) -> np.ndarray:
    """Noise that falls by 60 dB in `fall` seconds behind a direct path of its own delay: [S] or [S, channels] in ±1."""
    size, direct = int(1.2 * fall * RATE), int(generator.integers(20, 200))
    time = np.arange(size) / RATE
    response = 0.1 * generator.standard_normal((size, channels)) * (10 ** (-3 * time / fall))[:, None]
    response = np.concatenate([np.zeros((direct, channels)), response])
    response[direct] = 0.9
    return np.clip(response, -0.95, 0.95)[:, 0 if channels == 1 else slice(None)]
