"""What a run is made of: the loop, its state, its folder, its log."""
