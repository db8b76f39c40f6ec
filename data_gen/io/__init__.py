"""Files: images, photos, atomic writes, reading in parallel."""
