"""Other settings while the guard runs: ``watch`` when, ``plan`` what differs, ``swap`` does it, ``ask`` asks for it."""
