"""A made-up market and a venue on loopback that speaks a real venue's API, for tests, the demo and practice."""

from adapters.simulation.account import VenueAccountState, VenueOrder, VenuePosition
from adapters.simulation.dialects import DialectName
from adapters.simulation.generated import GeneratedSource, generated_source
from adapters.simulation.misbehaviour import Corruption, Fault, FaultKind, fault_schedule
from adapters.simulation.recorded import RecordedSource, recorded_source, write_recording
from adapters.simulation.settings import LoopbackSettings, MarginAsset, VenueAccountSpec
from adapters.simulation.source import Frame, FrameKind, MarketSource, OpeningBook, SymbolSpec
from adapters.simulation.spot_venue import LoopbackSpot
from adapters.simulation.venue import LoopbackVenue

__all__ = [
    "Corruption",
    "DialectName",
    "Fault",
    "FaultKind",
    "Frame",
    "FrameKind",
    "GeneratedSource",
    "LoopbackSettings",
    "LoopbackSpot",
    "LoopbackVenue",
    "MarginAsset",
    "MarketSource",
    "OpeningBook",
    "RecordedSource",
    "SymbolSpec",
    "VenueAccountSpec",
    "VenueAccountState",
    "VenueOrder",
    "VenuePosition",
    "fault_schedule",
    "generated_source",
    "recorded_source",
    "write_recording",
]
