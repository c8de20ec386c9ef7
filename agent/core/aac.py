"""What Doorward records as sound: AAC-LC, mono or stereo, 1024 samples a packet. Reads its configuration.

Owns the limits only; never decodes. Whatever is not exactly this is encoded anew by the adapters.
Source: ISO 14496-3 1.6.2.1 (AudioSpecificConfig), 4.4.1 (GASpecificConfig).
"""

from __future__ import annotations

from typing import Final

from agent.core.errors import BadInput
from agent.core.frame import SoundFormat

FRAME_SAMPLES: Final = 1024
MAX_PACKET_BYTES: Final = 2 * 768  # 6144 bits a channel (ISO 14496-3 4.5.3.1)
MAX_CONFIG_BYTES: Final = 64
MIN_RATE_HZ: Final = 7_350
MAX_RATE_HZ: Final = 48_000
_RATES: Final = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_LOW_COMPLEXITY: Final = 2
_EXPLICIT_RATE: Final = 15
_SYNC_EXTENSION: Final = 0x2B7
_SPECTRAL_BAND_REPLICATION: Final = 5


class _Bits:
    """Reads bits from the front; zeros behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self.left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next `count` bits."""
        self.left -= count
        shifted = self._value >> self.left if self.left >= 0 else self._value << -self.left
        return shifted & ((1 << count) - 1)


def read_config(config: bytes) -> SoundFormat:
    """The sound an AudioSpecificConfig describes; BadInput where it is not of the one kind that is recorded."""
    if not 2 <= len(config) <= MAX_CONFIG_BYTES:
        raise BadInput(f"A description of sound has 2 to {MAX_CONFIG_BYTES} bytes, not {len(config)}.")
    bits = _Bits(config)
    kind, index = bits.take(5), bits.take(4)
    rate_hz = bits.take(24) if index == _EXPLICIT_RATE else _RATES[index] if index < len(_RATES) else 0
    channels = bits.take(4)
    short_frames, core_coder, extension = bits.take(1), bits.take(1), bits.take(1)
    # Half of the spectrum may be described beside it; then a packet lasts twice as long for those who can use that.
    if bits.left >= 17 and bits.take(11) == _SYNC_EXTENSION:
        extension = extension or (bits.take(5) == _SPECTRAL_BAND_REPLICATION and bits.take(1) == 1)
    plain = kind == _LOW_COMPLEXITY and not (short_frames or core_coder or extension)
    if not plain or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ or channels not in (1, 2):
        raise BadInput("This sound is not AAC-LC of one or two channels at 7.35 to 48 kHz; it has to be encoded anew.")
    return SoundFormat(rate_hz, channels, config)


def frame_ns(fmt: SoundFormat) -> int:
    """How long a packet lasts, to the nanosecond below."""
    return FRAME_SAMPLES * 1_000_000_000 // fmt.rate_hz
