"""An owner on a computer instead of a phone: the same keys, the same pairing, the same decisions as the page."""
