"""Names the new place of a module that moved."""

raise ImportError('hyper.data.run_files is now hyper.runs.folder.')
