"""The three streams of training images."""
