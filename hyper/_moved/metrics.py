"""Names the new place of a module that moved."""

raise ImportError('hyper.metrics is now hyper.runs.metrics.')
