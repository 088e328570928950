"""Names the new place of a module that moved."""

raise ImportError('hyper.translation is now hyper.models.translate.')
