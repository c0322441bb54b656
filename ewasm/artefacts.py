"""Prepared code on disk, for the next process.

Compiled code is native code and is run as it is found, so only what this user wrote is taken: the directory must belong
to the user and be writable by nobody else, and every file carries a keyed hash. Whatever does not fit is ignored and
written anew. Files appear whole or not at all, so several processes can share a directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Final

_TAG: Final = 32
_SUFFIX: Final = ".artefact"

DEFAULT_BYTES: Final = 512 << 20
"""Bytes on disk above which the oldest files are removed."""


def default_directory() -> Path | None:
    """Return the user's cache directory for this, None for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "ewasm"
    except RuntimeError:
        return None


class ArtefactStore:
    """A directory of artefacts by name. Nothing here raises: without a usable directory nothing is found or kept."""

    def __init__(self, directory: Path, max_bytes: int = DEFAULT_BYTES) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._secret = self._open()

    @property
    def usable(self) -> bool:
        """Whether artefacts can be kept."""
        return self._secret is not None

    def _open(self) -> bytes | None:
        """Make or check the directory and return its secret, None if it cannot be trusted."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.directory.stat()
            if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
                return None
            path = self.directory / "key"
            with contextlib.suppress(FileExistsError):
                self._write(path, secrets.token_bytes(_TAG), exclusive=True)
            secret = path.read_bytes()
        except OSError:
            return None
        return secret if len(secret) == _TAG else None

    def _write(self, path: Path, data: bytes, *, exclusive: bool = False) -> None:
        """Write a file whole; an exclusive one only if there is none."""
        descriptor, draft = tempfile.mkstemp(dir=self.directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            if exclusive:
                os.link(draft, path)
            else:
                Path(draft).replace(path)
        finally:
            Path(draft).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.directory / (hashlib.sha256(name.encode()).hexdigest() + _SUFFIX)

    def _tag(self, name: str, data: bytes) -> bytes:
        assert self._secret is not None
        return hmac.digest(self._secret, hashlib.sha256(name.encode()).digest() + data, "sha256")

    def get(self, name: str) -> bytes | None:
        """Return an artefact, None if there is none that this user wrote."""
        if self._secret is None:
            return None
        try:
            stored = self._path(name).read_bytes()
        except OSError:
            return None
        tag, data = stored[:_TAG], stored[_TAG:]
        return data if hmac.compare_digest(tag, self._tag(name, data)) else None

    def put(self, name: str, data: bytes) -> None:
        """Keep an artefact, if the disk lets."""
        if self._secret is None:
            return
        with contextlib.suppress(OSError):
            self._write(self._path(name), self._tag(name, data) + data)
            self._prune()

    def _prune(self) -> None:
        """Remove the oldest files above the bound."""
        files = [(f.stat().st_mtime, f.stat().st_size, f) for f in self.directory.glob(f"*{_SUFFIX}")]
        total = sum(size for _, size, _ in files)
        for _, size, file in sorted(files, key=lambda entry: entry[0]):
            if total <= self.max_bytes:
                return
            file.unlink(missing_ok=True)
            total -= size
