"""Configs: complete recipes, one file per data set and model family."""
