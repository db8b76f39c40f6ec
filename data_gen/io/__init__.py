"""Files: images, photos, pixel values, atomic writes, locks, reading in parallel."""
