"""A store on disk: LMDB, one file in a directory, one write transaction for each `write`.

LMDB writes copies of the pages that change, and at the end one page that leads to them: whatever ends a process, what
was written last is there. It maps the file into memory: that the file is as long as it says has to be looked at before.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeAlias, TypeVar

import lmdb
from filelock import FileLock, Timeout

from state.store import Changes, StoreError, Table

if TYPE_CHECKING:
    Transaction: TypeAlias = lmdb.Transaction[bytes]

T = TypeVar("T")

FORMAT: Final = b"1"
"""What META has under `format`; it changes whenever an older version could not read the store."""

FILE: Final = "state.mdb"
LOCK: Final = "lock"
READERS: Final = "state.mdb-lock"
"""LMDB's own file, in which processes that read are noted."""

_FORMAT_KEY: Final = b"format"
_FIRST_MAP: Final = 64 << 20
_CHUNK: Final = 1024
"""Rows that `items` reads at once: no transaction stays open while a caller works."""

_MAX_READERS: Final = 1024


_READ_THROUGH: Final = """
import lmdb, sys
path, *tables = sys.argv[1:]
environment = lmdb.open(path, subdir=False, readonly=True, lock=False, max_dbs=len(tables))
for table in tables:
    database = environment.open_db(table.encode(), create=False)
    with environment.begin(database) as transaction:
        for _ in transaction.cursor():
            pass
"""


class LmdbStore:
    """A store in a directory, for one process that writes and any number that read.

    Readers do not wait for the writer nor it for them. `write` returns once the changes are on disk. All methods raise
    StoreError.
    """

    def __init__(self, folder: Path, *, create: bool = False, readonly: bool = False) -> None:
        """Open the store in a directory, which with `create` may be new or empty; raise StoreError."""
        self.folder = folder
        self._path = folder / FILE
        self._readonly = readonly
        self._lock = FileLock(folder / LOCK, timeout=0)
        self._mapping = threading.Lock()
        """Held while the map is read, and while it is replaced by a larger one."""
        self._writing = threading.Lock()
        self._environment: lmdb.Environment | None = None
        if create and not readonly:
            self._make_folder()
        elif not self._length():
            raise StoreError(f"{folder}: there is no state here")
        new = not self._length()
        try:
            if not readonly:
                self._take_lock()
            self._environment = self._opened()
            self._tables = self._found_tables(create=create and not readonly)
        except BaseException:
            if new and self._lock.is_locked:
                self.discard()
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; what was written stays."""
        self._close_environment()
        self._lock.release()

    def _close_environment(self) -> None:
        with self._mapping:
            if self._environment is not None:
                self._environment.close()
                self._environment = None

    def discard(self) -> None:
        """Remove the store's files from the directory, and close it."""
        self._close_environment()
        for name in (FILE, READERS, LOCK):
            (self.folder / name).unlink(missing_ok=True)
        self._lock.release()

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the value of a key, None if it has none."""
        return self._read(table, lambda transaction: transaction.get(key))

    def items(self, table: Table, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values with `start` <= key < `stop`, in order; later writes may be seen or not."""
        more = True
        while more:
            rows, more = self._read(table, partial(_rows, start=start, stop=stop))
            yield from rows
            start = rows[-1][0] + b"\0" if rows else start

    def last(self, table: Table) -> tuple[bytes, bytes] | None:
        """Return the greatest key and its value, None from an empty table."""
        return self._read(table, _last)

    def write(self, changes: Changes) -> None:
        """Make all changes or, on an exception, none; readers see all or none."""
        if self._readonly:
            raise StoreError(f"{self._path}: opened for reading only")
        with self._writing:
            self._growing(lambda: self._write(changes))
            self._cover_all_pages()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._path.stat().st_size

    # Opening

    def _length(self) -> int:
        """Return the bytes of the file, 0 if there is none."""
        try:
            return self._path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror or error}") from error

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            ours = (FILE, LOCK, READERS)
            if not self._path.exists() and any(entry.name not in ours for entry in self.folder.iterdir()):
                raise StoreError(f"{self.folder}: holds other files and no state; give an empty or new directory")
        except OSError as error:
            raise StoreError(f"{error.filename or self.folder}: {error.strerror or error}") from error

    def _take_lock(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            raise StoreError(
                f"{self.folder}: another process is using this state; try again when it has ended"
            ) from None
        except OSError as error:
            raise StoreError(f"{error.filename or self.folder}: {error.strerror or error}") from error

    def _opened(self) -> lmdb.Environment:
        """Open the environment, and see that no page of it is missing."""
        try:
            size = self._length()
            environment = lmdb.open(
                os.fspath(self._path),
                subdir=False,
                map_size=max(_FIRST_MAP, 2 * size),
                max_dbs=len(Table),
                max_readers=_MAX_READERS,
                readonly=self._readonly,
                create=not self._readonly,
                lock=not self._readonly or self._is_writable(),
            )
        except lmdb.Error as error:
            raise self._failure(error) from error
        except OSError as error:
            raise StoreError(f"{error.filename or self._path}: {error.strerror or error}") from error
        except UnicodeEncodeError as error:
            raise StoreError(f"{self._path}: LMDB takes names in UTF-8 only") from error
        environment.reader_check()
        end = _pages_end(environment)
        if size and end > size and not self._is_whole(size, end):
            environment.close()
            raise StoreError(f"{self._path}: truncated: {end - size:,} bytes are missing; restore it from a copy")
        return environment

    def _is_writable(self) -> bool:
        """Tell whether a reader can note itself among the readers, so that the writer leaves it its pages."""
        path = self.folder / READERS
        place = path if path.exists() else self.folder
        return os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids)

    def _is_whole(self, size: int, end: int) -> bool:
        """Tell whether a file that is too short lacks only pages that nothing is on.

        A process that ended after its changes were written and before `_cover_all_pages` leaves such a file. It is
        covered with zeros, which are no pages, and read through in a process of its own, which LMDB ends when it meets
        one of them.
        """
        if self._readonly:
            return False
        os.truncate(self._path, end)
        command = [sys.executable, "-c", _READ_THROUGH, os.fspath(self._path), *Table]
        whole = not subprocess.run(command, capture_output=True, check=False).returncode  # noqa: S603  # our own
        if not whole:
            os.truncate(self._path, size)
        return whole

    def _cover_all_pages(self) -> None:
        """Make the file as long as its pages are: LMDB does not write those at the end that nothing is on."""
        if self._environment is not None:
            end = _pages_end(self._environment)
            if self.size < end:
                with suppress(OSError):  # a full disk; `_is_whole` finds out
                    os.truncate(self._path, end)

    def _found_tables(self, *, create: bool) -> dict[Table, lmdb._Database]:
        """Return LMDB's names of the tables, made if the file is empty; raise StoreError on a format not ours."""
        environment = self._environment
        assert environment is not None
        try:
            with environment.begin() as transaction:
                named = transaction.stat()["entries"]
            if not named and create:
                self._make_tables()
            tables = {table: environment.open_db(table.encode(), create=False) for table in Table}
            with environment.begin() as transaction:
                made_with = transaction.get(_FORMAT_KEY, db=tables[Table.META])
        except (lmdb.NotFoundError, lmdb.ReadonlyError):
            made_with, tables = None, {}
        except lmdb.Error as error:
            raise self._failure(error) from error
        if made_with is None:
            raise StoreError(f"{self._path}: not a state, but a database of another program")
        if made_with != FORMAT:
            raise StoreError(
                f"{self._path}: format {made_with.decode('ascii', 'replace')}, this version reads format"
                f" {FORMAT.decode()}; use the version that wrote it"
            )
        return tables

    def _make_tables(self) -> None:
        """Make all tables and write the format, in one transaction."""
        environment = self._environment
        assert environment is not None
        with environment.begin(write=True) as transaction:
            for table in Table:
                made = environment.open_db(table.encode(), txn=transaction)
                if table is Table.META:
                    transaction.put(_FORMAT_KEY, FORMAT, db=made)

    # Reading and writing

    def _read(self, table: Table, read: Callable[[Transaction], T]) -> T:
        """Read in a transaction of its own."""
        with self._mapping:
            environment = self._environment
            if environment is None:
                raise StoreError(f"{self._path}: closed")
            while True:
                try:
                    with environment.begin(self._tables[table]) as transaction:
                        return read(transaction)
                except lmdb.MapResizedError:  # by the process that writes
                    environment.set_mapsize(0)
                except lmdb.Error as error:
                    raise self._failure(error) from error

    def _write(self, changes: Changes) -> None:
        environment = self._environment
        if environment is None:
            raise StoreError(f"{self._path}: closed")
        with environment.begin(write=True) as transaction:
            for table, rows in changes.items():
                made = self._tables[table]
                with transaction.cursor(made) as cursor:
                    cursor.putmulti(sorted((key, value) for key, value in rows.items() if value is not None))
                for key in sorted(key for key, value in rows.items() if value is None):
                    transaction.delete(key, db=made)

    def _growing(self, write: Callable[[], None]) -> None:
        """Write; let the map grow until there is room."""
        while True:
            try:
                return write()
            except lmdb.MapFullError:
                with self._mapping:
                    if self._environment is None:
                        raise StoreError(f"{self._path}: closed") from None
                    try:
                        self._environment.set_mapsize(2 * self._environment.info()["map_size"])
                    except (lmdb.Error, MemoryError, OverflowError) as error:
                        raise StoreError(f"{self._path}: cannot grow ({error}); the old state is as it was") from error
            except lmdb.Error as error:
                raise StoreError(
                    f"{self._path}: cannot be written ({_reason(error)}); the old state is as it was"
                ) from error

    def _failure(self, error: lmdb.Error) -> StoreError:
        """Return what is said of an error of LMDB while it opens or reads."""
        if isinstance(error, lmdb.InvalidError | lmdb.VersionMismatchError):
            return StoreError(f"{self._path}: not a state, or damaged ({_reason(error)}); restore it from a copy")
        if isinstance(error, lmdb.CorruptedError | lmdb.PageNotFoundError):
            return StoreError(f"{self._path}: damaged ({_reason(error)}); restore it from a copy")
        return StoreError(f"{self._path}: {_reason(error)}")


def _pages_end(environment: lmdb.Environment) -> int:
    """Return where the last page ends that the file has ever had, in bytes."""
    pages: int = environment.info()["last_pgno"] + 1
    size: int = environment.stat()["psize"]
    return pages * size


def _rows(transaction: Transaction, start: bytes, stop: bytes | None) -> tuple[list[tuple[bytes, bytes]], bool]:
    """Return some rows from `start` on, and whether there may be more."""
    rows: list[tuple[bytes, bytes]] = []
    with transaction.cursor() as cursor:
        if not cursor.set_range(start):
            return rows, False
        for key, value in cursor:
            if stop is not None and key >= stop:
                return rows, False
            rows.append((key, value))
            if len(rows) == _CHUNK:
                return rows, True
    return rows, False


def _last(transaction: Transaction) -> tuple[bytes, bytes] | None:
    with transaction.cursor() as cursor:
        return cursor.item() if cursor.last() else None


def _reason(error: lmdb.Error) -> str:
    """Return the last part of LMDB's message, which says what the system answered."""
    return str(error).rpartition(": ")[2]
