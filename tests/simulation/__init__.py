"""The seeded fault campaign: guards, broker, bots and venue in one thread and in virtual time."""
