"""Data sets of videos."""
