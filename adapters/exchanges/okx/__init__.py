"""OKX v5: linear perpetual swaps and their accounts."""
