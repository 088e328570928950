"""Figures of runs; `python -m hyper.figures` draws them."""
