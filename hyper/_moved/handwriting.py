"""Names the new place of a module that moved."""

raise ImportError('hyper.handwriting is now hyper.models.handwriting.')
