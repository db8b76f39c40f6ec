"""From a photo to its map in a file."""
