"""Every number of a GPU in one run of some minutes, the most telling ones first."""
