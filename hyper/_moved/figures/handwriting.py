"""Names the new place of a module that moved."""

raise ImportError('hyper.figures.handwriting is now hyper.drawing.handwriting.')
