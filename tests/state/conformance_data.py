"""Published test vectors, which stand beside the checkout and may be absent."""

import json
from typing import Any

import pytest

from tests.helpers import CONFORMANCE as ROOT


def load(path: str) -> dict[str, Any]:
    """Return one JSON file, or skip the test that asks."""
    file = ROOT / path
    if not file.exists():
        pytest.skip(f"no {file}")
    return json.loads(file.read_text())


def cases(*paths: str) -> list[Any]:
    """Return a test parameter for each case in the files; where a file is absent, one that is skipped."""
    found = []
    for path in paths:
        file = ROOT / path
        if file.exists():
            found += [
                pytest.param(case, id=f"{file.stem}-{name}") for name, case in json.loads(file.read_text()).items()
            ]
        else:
            found.append(pytest.param(None, id=file.stem, marks=pytest.mark.skip(reason=f"no {file}")))
    return found


def unhex(text: str) -> bytes:
    """Return the bytes of hex text, with or without `0x`."""
    return bytes.fromhex(text.removeprefix("0x"))


def raw(text: str) -> bytes:
    """Return hex with `0x` as its bytes, any other text as ASCII."""
    return unhex(text) if text.startswith("0x") else text.encode()
