"""Batching and normalisation of clips."""
