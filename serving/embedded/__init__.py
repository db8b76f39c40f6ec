"""The PredictionService for one machine."""
