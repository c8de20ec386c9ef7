"""The pure core: no sockets, files, clocks or randomness. Time, random bytes and input come in as arguments."""
