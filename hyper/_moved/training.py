"""Names the new place of a module that moved."""

raise ImportError('hyper.training is now hyper.runs.training.')
