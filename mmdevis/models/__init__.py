"""Models: the video model, the image model and their parts."""
