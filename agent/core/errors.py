"""Every error Doorward raises on purpose, split by who can do something about it.

An error's text is one sentence for a person: what is wrong, where, and what to do. The command line prints it as it is.
"""


class DoorwardError(Exception):
    """Base of all errors raised on purpose."""


class BadInput(DoorwardError):
    """Somebody gave us something unusable: an argument, a file, a configuration. Exit code 2."""


class NotThere(BadInput):
    """What was asked for by name does not exist."""


class Refused(DoorwardError):
    """Well-formed, but not allowed: a signature, a limit, a rule of consent. Exit code 1.

    `reason` is a short stable name (kebab-case) for logs, the audit chain and test vectors.
    """

    def __init__(self, reason: str, text: str | None = None) -> None:
        super().__init__(text or reason)
        self.reason = reason


class Corrupt(DoorwardError):
    """Bytes that ought to be ours are damaged or forged. Exit code 1."""


class NotARecipient(Corrupt):
    """Whole, but sealed to other keys than the one at hand."""


class Unavailable(DoorwardError):
    """Something needed is not there: a broker, a doorbell, a disk. Exit code 3."""


class Stuck(Unavailable):
    """Something neither does what it is told nor says that it cannot; only another process can help."""
