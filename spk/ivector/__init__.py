"""i-vectors: the UBM, its posteriors, the total-variability model, and the vectors extracted with it."""
