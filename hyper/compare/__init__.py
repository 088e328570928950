"""Runs beside the paper and beside each other; `python -m hyper.compare`."""
