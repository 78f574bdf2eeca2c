"""Small helpers.

Imports nothing by itself, so that the environment report works where a framework is missing.
"""
