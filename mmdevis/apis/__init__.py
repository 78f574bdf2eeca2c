"""High-level interfaces: a video in, tracks out."""
