"""An order-driven market with many traders whose every position is known: the laboratory."""
