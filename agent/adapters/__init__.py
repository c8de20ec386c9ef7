"""Devices and network: each module turns one outside thing into the core's types."""
