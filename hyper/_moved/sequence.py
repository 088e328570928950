"""Names the new place of a module that moved."""

raise ImportError('hyper.sequence is now hyper.models.char_lm.')
