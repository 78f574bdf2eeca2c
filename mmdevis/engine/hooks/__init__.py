"""Hooks for the runner."""
