"""Doorward: a doorbell camera whose owner alone can open what it recorded.

The layers, from the outside in: cli, demo, daemon, then recorder, disclosure and requester, then store and adapters,
then config, then the pure core. An outer layer imports inner ones, never the reverse (checked by import-linter).
"""

__version__ = "0.1.0"
