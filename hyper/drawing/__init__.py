"""Pictures of arrays; this package knows no run, no model and no task."""
