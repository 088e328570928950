"""Names the new place of a module that moved."""

raise ImportError(
  'hyper.figures.weight_change is now hyper.drawing.weight_change.'
)
