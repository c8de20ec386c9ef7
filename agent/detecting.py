"""Whether there is a detector, and which: the configuration's model, if it is on this machine.

Beside the daemon because `replay` needs it as well. Says what is missing and what to do; recording goes on without.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from agent.adapters.detector import Detector
from agent.config import Config
from agent.core.errors import BadInput, Corrupt, Unavailable
from agent.core.models import ModelEntry, read_manifest
from agent.store.models import ModelStore

log = logging.getLogger(__name__)


def known_models() -> list[ModelEntry]:
    """What models/manifest.toml lists: in the installed package, or in the clone it runs from."""
    packed = files("agent") / "models.toml"
    source = packed if packed.is_file() else files("agent") / ".." / "models" / "manifest.toml"
    return read_manifest(source.read_text(encoding="utf-8"))


def named_model(name: str) -> ModelEntry:
    """The model of that name; BadInput names those there are."""
    models = known_models()
    for model in models:
        if model.name == name:
            return model
    raise BadInput(f"there is no model '{name[:60]}'; there are {', '.join(m.name for m in models)}")


class Detecting:
    """The detector, if there is one. `state`: off, missing, starting, on or failed, for the status line."""

    def __init__(self, config: Config, root: Path, *, patient: bool) -> None:
        self.sight: Detector | None = None
        self._without = "off"
        if not config.detector.model:
            return
        model = named_model(config.detector.model)
        try:
            path = ModelStore(root).checked(model)
        except Unavailable as e:
            self._without = "missing"
            log.info("clips get no labels: %s", e)
        except Corrupt as e:
            self._without = "failed"
            log.warning("clips get no labels: %s; 'doorward models fetch' gets it anew", e)
        else:
            self.sight = Detector(path, model.layout, patient=patient)

    @property
    def state(self) -> str:
        """off, missing, starting, on or failed."""
        return self._without if self.sight is None else self.sight.state.value

    def close(self) -> None:
        """End the detector's thread."""
        if self.sight is not None:
            self.sight.close()


@contextmanager
def detecting(config: Config, root: Path, *, patient: bool) -> Iterator[Detecting]:
    """A Detecting that is closed at the end."""
    found = Detecting(config, root, patient=patient)
    try:
        yield found
    finally:
        found.close()
