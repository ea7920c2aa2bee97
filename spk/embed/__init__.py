"""From a trained network to embeddings on disk."""
