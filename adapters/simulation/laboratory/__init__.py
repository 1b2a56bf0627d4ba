"""An order-driven market with many traders whose every position is known: the laboratory.

To read it, from the whole to the parts:

- ``parameters``: what an ``Episode`` is made of; each docstring is a formula. ``truth``: what is known of it.
- ``laboratory``: all markets of an episode, step by step; ``listing``: one book with its mark; ``market``: who trades
  in it, in which order.
- Traders: ``behaviour`` (formulas, shared with the coarse mode), ``makers``, ``patient``, ``flow`` (noise, trend,
  value, the scenario's seller), ``arbitrage``, ``entering`` (the crowd comes and goes), ``moves`` (how unusual a move
  is), ``outside`` (what a book learns of the rest of the world).
- Everyone's positions: ``crowd``, ``positions``, ``crowd_seed``, ``margin_brackets``, ``ladder`` (who is closed at
  which price), ``liquidation_engine``, ``deleverage``.
- The exchange: ``book`` (order by order), ``exchange`` (who owns what), ``grid``, ``owners``, ``draws``, ``bits``.
- Prices from outside: ``value``, ``mark``, ``drive`` (a scenario's impulses), ``collateral``.
- What is told: ``observed``, ``observed_market``, ``touch`` (to guards); ``truth_rows``, ``crowd_truth``,
  ``truth_file``, ``picture`` (to those who judge them).
- On loopback: ``source``, ``frames``, ``playing``, ``stage``, ``accounts``, ``venues``.

Prices are whole ticks, sizes whole lots, money whole millionths of a USD, time whole milliseconds since the begin.
A module with a ``.pxd`` beside it is compiled where there is a compiler, and tells the same where there is none.
"""
