"""What a recipe's test overrides in a config, so that training takes seconds."""

SMALL = {
    "network.channels": "0.125",
    "network.embedding_dim": "16",
    "batch.size": "4",
    "batch.crop_frames": "80",
    "train.steps": "20",
    "train.save_every": "5",
    "train.threads": "1",
    "validation.speakers": "2",
    "validation.every": "10",
}
SMALL_OPTIONS = [f"--{key}={value}" for key, value in SMALL.items()]
