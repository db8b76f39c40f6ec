"""From an image, its depth and a lens to a defocused image and its map."""
