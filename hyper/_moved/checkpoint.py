"""Names the new place of a module that moved."""

raise ImportError('hyper.checkpoint is now hyper.runs.checkpoint.')
