"""RGB-D scenes to render from: what a source is, and readers of the layouts of data sets."""
