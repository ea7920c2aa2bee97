"""How good scores are: error rates, EER, detection cost. Pure mathematics on arrays, no files."""
