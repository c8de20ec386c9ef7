"""Fails when a document or a docstring names a file of this repository that does not exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOP = "agent|config|docs|models|scripts|systemd|tests"
NAMED = re.compile(rf"(?<![\w./-])((?:{TOP})/[\w./*-]*[\w*])")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def missing(document: Path) -> list[str]:
    """Paths that `document` names and that are not there."""
    text = document.read_text(encoding="utf-8")
    found = []
    for name in NAMED.findall(text):
        if not any(ROOT.glob(name)):
            found.append(name)
    if document.suffix == ".md":
        found += [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    return found


def main() -> int:
    """Look through every document and every module that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    dead = [f"{name}: {path}" for name in listed if (ROOT / name).exists() for path in missing(ROOT / name)]
    print("\n".join(dead) or "every path named exists")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
