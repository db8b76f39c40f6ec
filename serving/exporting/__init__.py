"""Writing a SavedModel that TensorFlow Serving takes as it is."""
