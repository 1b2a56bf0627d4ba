"""A venue that misbehaves on request: the faults, when they come, and what they do to frames and requests.

``faults`` is what can be asked for, ``schedule`` makes a storm of them from a seed, ``switchboard`` knows which
are on, ``corruption`` spoils texts, ``requests`` answers REST badly, ``acts`` does what concerns the whole venue.
"""

from adapters.simulation.misbehaviour.faults import Corruption, Fault, FaultKind, FaultPlan, read_plan
from adapters.simulation.misbehaviour.schedule import fault_schedule
from adapters.simulation.misbehaviour.switchboard import ANSWER, Mark, Misbehaviour, Outgoing

__all__ = [
    "ANSWER",
    "Corruption",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "Mark",
    "Misbehaviour",
    "Outgoing",
    "fault_schedule",
    "read_plan",
]
