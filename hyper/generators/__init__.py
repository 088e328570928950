"""What hypernetworks are made of: storage, tiles' grids and embeddings."""
