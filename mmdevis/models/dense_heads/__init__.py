"""Classification and box heads."""
