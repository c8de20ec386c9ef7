"""All readers, many runs, for a long evening: `scripts/fuzz [RUNS [SEED]]`."""

from __future__ import annotations

import sys
import tempfile
import zlib
from pathlib import Path

from tests.fuzzing import fuzz
from tests.readers import readers


def main(runs: int, seed: int) -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for reader in readers(Path(folder)):
            try:
                tally = fuzz(reader, runs, zlib.crc32(reader.name.encode()) + seed)
            except AssertionError as e:
                failed += 1
                print(f"FAIL  seed {seed}: {e}", flush=True)
            else:
                print(f"ok    {reader.name:45} accepted {tally.accepted:7}  refused {tally.refused:7}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
