"""Trackers: from clip predictions to tracks."""
