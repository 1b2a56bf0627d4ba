"""What came true of what was said, and what each estimator therefore counts: outcomes, ledger, scores, gate. Pure."""
