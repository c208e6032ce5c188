"""A part that finds one number, and then none any more."""

import time


def measure(job):
    job.add({'name': 'first', 'value': 1.5})
    time.sleep(600)
