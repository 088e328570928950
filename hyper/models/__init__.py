"""The main networks of the tasks: Flax modules that know no hypernetwork."""
