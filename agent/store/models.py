"""Where detection models lie on this machine: `models/` in the state directory, each whole and of the expected hash.

A file is put there only after its hash was seen to be right, and checked again whenever it is to be used. Never
downloads: the bytes come from whoever has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.core.errors import BadInput, Corrupt, Unavailable
from agent.core.models import ModelEntry
from agent.store.durable import write_pieces

_PIECE_BYTES = 1 << 16


class ModelStore:
    """The models below one state directory, which need not hold a doorbell yet."""

    def __init__(self, root: Path) -> None:
        self._directory = root / "models"

    def path(self, model: ModelEntry) -> Path:
        """Where the model lies, or would."""
        return self._directory / model.file

    def there(self, model: ModelEntry) -> bool:
        """Whether a file of the right size is there."""
        path = self.path(model)
        return path.is_file() and path.stat().st_size == model.bytes

    def checked(self, model: ModelEntry) -> Path:
        """The model's file, every byte as expected. Unavailable where it is not there, Corrupt where it is another."""
        path = self.path(model)
        if not path.is_file():
            raise Unavailable(f"the model {model.name} is not on this machine; 'doorward models fetch' gets it")
        with path.open("rb") as file:
            for _ in _verified(iter(lambda: file.read(_PIECE_BYTES), b""), model, str(path)):
                pass
        return path

    def install(self, model: ModelEntry, pieces: Iterable[bytes], source: str) -> Path:
        """Put the model in its place. Corrupt, and nothing changed, where the bytes from `source` are not the model."""
        try:
            self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as e:
            raise Unavailable(f"{self._directory} cannot be made: {e.strerror}; name another with --state") from e
        path = self.path(model)
        write_pieces(path, _verified(pieces, model, source), 0o644)
        return path


def identify(models: list[ModelEntry], path: Path) -> ModelEntry:
    """Which of `models` the file is; BadInput where it is none or cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as e:
        raise BadInput(f"{path} cannot be read: {e.strerror}") from e
    for model in models:
        if model.sha256 == digest:
            return model
    raise BadInput(f"{path} is none of the models Doorward knows (its SHA-256 is {digest}); see 'doorward models list'")


def _verified(pieces: Iterable[bytes], model: ModelEntry, source: str) -> Iterator[bytes]:
    """The pieces as they come; Corrupt as soon as they cannot be the model any more, at the latest at their end."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        size += len(piece)
        if size > model.bytes:
            raise Corrupt(f"{source} holds more than the {model.bytes} bytes of {model.name}; nothing was kept")
        digest.update(piece)
        yield piece
    if size < model.bytes:
        raise Corrupt(f"{source} ended after {size} of {model.bytes} bytes; try again")
    if digest.hexdigest() != model.sha256:
        raise Corrupt(
            f"{source} is not the {model.name} that was expected: its SHA-256 is {digest.hexdigest()} instead of "
            f"{model.sha256}; nothing was kept"
        )
