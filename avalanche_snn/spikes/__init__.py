"""Spike rasters and latents: binning events, packing bits, coding time, random changes."""

from avalanche_snn.spikes.augmentation import ChannelShift, Composed, EventDrop, TimeShift, TimeStretch
from avalanche_snn.spikes.binning import bin_events
from avalanche_snn.spikes.blending import blend_same_class
from avalanche_snn.spikes.codecs import TimeCodec, make_codec, rice_bytes
from avalanche_snn.spikes.packing import is_packed_batch, pack, planes_for, unpack

__all__ = [
    "ChannelShift",
    "Composed",
    "EventDrop",
    "TimeCodec",
    "TimeShift",
    "TimeStretch",
    "bin_events",
    "blend_same_class",
    "is_packed_batch",
    "make_codec",
    "pack",
    "planes_for",
    "rice_bytes",
    "unpack",
]
