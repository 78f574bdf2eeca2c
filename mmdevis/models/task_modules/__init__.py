"""Assigners and match costs."""
