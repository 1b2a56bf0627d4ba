"""What every policy has to keep, as a suite that its author can run: pure, deterministic, documented, never raising.

- ``states``  made-up worlds that a policy is asked about: empty, calm, in danger, odd
- ``suite``   the checks; ``problems_of(kind)`` says everything that a policy does not keep

In a test of one's own, ``assert problems_of(MyPolicy) == []``; for one that is installed, ``perpguard policies check``.
"""
