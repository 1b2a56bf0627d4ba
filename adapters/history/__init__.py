"""Files of events: recorded, made up, and read back."""
