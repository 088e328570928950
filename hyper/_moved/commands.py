"""Names the new place of a module that moved."""

raise ImportError('hyper.commands is now hyper.runs.commands.')
