"""What is behind the page."""
