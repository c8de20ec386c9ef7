"""From a request to a yes and what follows from it; without a yes, silence.

`intake` judges what the broker brings, `doorkeeper` lets owners in, `desk` is where an owner looks and decides, and
`sending` serves an agreed transfer.
"""
