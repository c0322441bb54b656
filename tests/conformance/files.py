"""The files of published suites, as parameters of tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import CONFORMANCE


def published(folder: str, pattern: str) -> list[Any]:
    """Return a parameter for each file, or one that is skipped, with the reason, where there are none."""
    found = sorted((CONFORMANCE / folder).glob(pattern))
    absent = pytest.mark.skip(reason=f"published vectors are absent: {CONFORMANCE / folder}")
    return [pytest.param(path, id=path.stem) for path in found] or [pytest.param(None, id="absent", marks=absent)]
