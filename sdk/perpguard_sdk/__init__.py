"""What a trading bot needs to obey perpguard over MQTT.

Read in this order: ``messages`` (the wire), ``topics``, ``codec``; ``executor`` (what a bot author
writes), ``client`` (what runs it); ``session`` (every rule, without I/O), ``commands``, ``pulse``,
``limits`` (its parts), ``store`` (what survives a restart), ``stops`` (a helper for ``widen_stops``).
This module imports nothing, so that the guard can use the wire types without the client.
"""
