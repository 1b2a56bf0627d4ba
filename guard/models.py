"""Loads the numbers that were fitted for the estimators: they lie beside the code, versioned."""
