"""Sample data, dataset checks and loading of pictures."""
