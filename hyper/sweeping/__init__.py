"""Trials of a study, and workers that train them; `python -m hyper.sweep`."""
