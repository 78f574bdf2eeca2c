"""Trains and compares several models under one protocol (docs/benchmarks/protocol.md)."""
