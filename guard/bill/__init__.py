"""The bill: what each decision saved and cost, against an unguarded twin of each account. Pure.

- ``settings``   fees, and for how long a decision is counted
- ``twin``       an account as it would be had nothing been commanded, as its difference from the real one
- ``decision``   one decision while it is counted
- ``seen``       what of the state the bill looks at: prices, costs of the book, margins
- ``withheld``   which entries a bot says it was kept from
- ``totals``     rows by account, market and policy
- ``account``    the account of a day or of the whole run, from the records
- ``ledger``     the fold over steps that keeps all of these
"""
