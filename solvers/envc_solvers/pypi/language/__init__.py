"""What requirements, markers and tags mean."""
