"""Video instance segmentation models."""
