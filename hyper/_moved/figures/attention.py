"""Names the new place of a module that moved."""

raise ImportError('hyper.figures.attention is now hyper.drawing.attention.')
