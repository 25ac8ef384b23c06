"""Saving a whole continual run, and going on with it as if nothing had happened."""

from avalanche_snn.checkpointing.checkpoints import load, save
from avalanche_snn.checkpointing.exemplar_buffers import buffer_state, load_buffer_state
from avalanche_snn.checkpointing.plugins import Checkpointable
from avalanche_snn.checkpointing.run import resume

__all__ = ["Checkpointable", "buffer_state", "load", "load_buffer_state", "resume", "save"]
