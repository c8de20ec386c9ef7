"""The other end of the protocol: who asks, receives, opens, and keeps evidence that anyone can verify."""
