"""Data sets: one file each, raw files or nothing in, NumPy arrays out."""
