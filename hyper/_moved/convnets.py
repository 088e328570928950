"""Names the new place of a module that moved."""

raise ImportError('hyper.convnets is now hyper.models.classify.')
