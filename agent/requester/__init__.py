"""The other end of the protocol: ask for footage, receive what was agreed, verify it, keep it as evidence."""
