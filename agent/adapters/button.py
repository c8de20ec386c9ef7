"""The doorbell's button on a GPIO pin (gpiozero): each press told once, a button that sticks told as what it is.

Owns the pin. Between the pin and ground, pulled up inside; bouncing contacts and impatient fingers count as one press.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from agent.core.errors import BadInput, Unavailable

log = logging.getLogger(__name__)

AGAIN_AFTER_S = 3.0
STUCK_AFTER_S = 30.0
_BOUNCE_S = 0.02


class DoorbellButton:
    """Listens from its making until `close`. `pressed` and `stuck` are called in gpiozero's thread.

    BadInput without gpiozero; Unavailable where there is no such pin.
    """

    def __init__(
        self,
        pin: int,
        pressed: Callable[[], None],
        stuck: Callable[[bool], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            import gpiozero
        except ImportError as e:
            raise BadInput(
                "button.pin is set, but gpiozero is not installed: 'sudo apt install python3-gpiozero python3-lgpio', "
                "or leave button.pin out"
            ) from e
        self._pressed = pressed
        self._stuck = stuck
        self._now_s = now_s
        self._last_s: float | None = None
        try:
            self._button = gpiozero.Button(pin, pull_up=True, bounce_time=_BOUNCE_S, hold_time=STUCK_AFTER_S)
        except (gpiozero.GPIOZeroError, OSError) as e:
            raise Unavailable(
                f"the button's pin {pin} cannot be used: {e or type(e).__name__}; check button.pin and the rights to "
                "/dev/gpiochip*"
            ) from e
        self._button.when_pressed = self._on_press
        self._button.when_held = self._on_held
        self._button.when_released = self._on_release
        self._held = False

    def close(self) -> None:
        """Let the pin go."""
        self._button.close()

    def _on_press(self) -> None:
        now_s = self._now_s()
        if self._last_s is None or now_s - self._last_s >= AGAIN_AFTER_S:
            self._last_s = now_s
            self._pressed()

    def _on_held(self) -> None:
        log.error("the doorbell's button has been down for %d seconds: it sticks, or its wires touch", STUCK_AFTER_S)
        self._held = True
        self._stuck(True)

    def _on_release(self) -> None:
        if self._held:
            self._held = False
            self._stuck(False)
