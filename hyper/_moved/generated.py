"""Names the new place of a module that moved."""

raise ImportError('hyper.generated is now hyper.hypernetwork.')
