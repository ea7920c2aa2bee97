"""Back-ends: what turns embeddings into scores."""
