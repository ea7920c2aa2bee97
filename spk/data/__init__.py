"""Kaldi data directories, arks, crops, samplers."""
