"""Looking at data: inspect a folder, the data card, near-duplicates."""
