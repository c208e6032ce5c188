"""Predictions for one image, and the files that they are saved as."""
