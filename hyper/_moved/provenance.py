"""Names the new place of a module that moved."""

raise ImportError('hyper.provenance is now hyper.runs.provenance.')
