"""Speed and memory, measured by commands."""
