"""Hooks and loops for the runner."""
