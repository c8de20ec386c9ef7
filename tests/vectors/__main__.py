"""Writes the files of every folder of vectors: python -m tests.vectors."""

from __future__ import annotations

from tests.vectors.folders import GENERATORS, ROOT, contents, files


def main() -> None:
    for folder in GENERATORS:
        wanted = contents(folder)
        (ROOT / folder).mkdir(exist_ok=True)
        for name in files(folder).keys() - wanted.keys():
            (ROOT / folder / name).unlink()
        for name, text in wanted.items():
            (ROOT / folder / name).write_text(text)


if __name__ == "__main__":
    main()
