"""SynthVIS: a video instance segmentation data set that anyone can make in seconds."""

from .config import DIFFICULTIES, SynthVISConfig
from .shapes import SYNTHVIS_CLASSES
from .writer import GENERATOR_VERSION, SynthVISResult, generate_synthvis

__all__ = [
    'DIFFICULTIES',
    'GENERATOR_VERSION',
    'SYNTHVIS_CLASSES',
    'SynthVISConfig',
    'SynthVISResult',
    'generate_synthvis',
]
