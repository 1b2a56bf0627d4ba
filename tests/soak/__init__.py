"""A long run of everything that is real: a venue that misbehaves, a broker that dies, a daemon, five bots."""
