"""Text format: an assembler that is not ours, with our errors."""

from __future__ import annotations

import pytest

from wasm.decode import decode
from wasm.errors import Malformed
from wasm.text import assemble


def test_text_becomes_a_module() -> None:
    assert assemble("(module)") == b"\0asm\1\0\0\0"
    assert decode(assemble('(module (func (export "main")))')).exports[0].name == "main"


def test_errors_say_the_line() -> None:
    with pytest.raises(Malformed, match=r"unknown operator.*:2:") as error:
        assemble("(module\n (func i32.nothing))")
    assert "\n" not in str(error.value)
