"""Training: the loop, its checkpoints, and what is logged."""
