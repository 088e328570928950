"""Names the new place of a module that moved."""

raise ImportError('hyper.figures.saturation is now hyper.drawing.saturation.')
