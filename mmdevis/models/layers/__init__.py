"""Transformer layers and position encodings."""
