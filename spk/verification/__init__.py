"""A trained system in use: recordings in; embeddings, scores and decisions out. `spk.load` is the way in."""
