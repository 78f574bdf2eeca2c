"""Temporal deformable attention, one operator with several backends."""
