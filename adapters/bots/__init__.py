"""Bots that obey the guard: a paper bot made with the SDK, and later bridges to bots of other makers."""
