"""The tasks: what differs between them stands here and nowhere else."""
