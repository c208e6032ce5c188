"""The report of an evaluation: its contents, its three files, and what it is compared with."""
