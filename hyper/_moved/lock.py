"""Names the new place of a module that moved."""

raise ImportError('hyper.lock is now hyper.runs.lock.')
