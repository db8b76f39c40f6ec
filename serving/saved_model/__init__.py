"""A SavedModel on disk: running it by the session loader, warming it up."""
