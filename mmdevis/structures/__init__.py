"""Data structures passed between parts."""
