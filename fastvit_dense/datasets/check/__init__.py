"""What is wrong with the data of a config? Everything that can be told before training."""
