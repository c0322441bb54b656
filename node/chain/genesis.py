"""What a chain begins with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from evmc import U256, ZERO_ADDRESS, ZERO_BYTES32, Address, Bytes32, Gas
from node.chain.block import Header
from node.chain.errors import UnusableChain
from node.defaults import BLOCK_GAS_LIMIT, CHAIN_ID
from state import GenesisAccount

BASE_FEE: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """The first block and its accounts. `timestamp` is in Unix seconds, None for the clock's."""

    chain_id: int = int(CHAIN_ID)
    accounts: Mapping[Address, GenesisAccount] = field(default_factory=dict)
    timestamp: int | None = None
    gas_limit: Gas = BLOCK_GAS_LIMIT
    base_fee: int = BASE_FEE
    coinbase: Address = ZERO_ADDRESS
    extra_data: bytes = b""
    mix_hash: Bytes32 = ZERO_BYTES32

    @classmethod
    def parse(cls, document: Any) -> Self:
        """Read a genesis in geth's JSON form (`config.chainId`, `alloc`, …).

        Raise UnusableChain that names the field. What is not there is as in a genesis without a file.
        """
        top = _object("genesis", document)
        config = _object("config", top.get("config", {}))
        alloc = _object("alloc", top.get("alloc", {}))
        return cls(
            chain_id=_number("config.chainId", config.get("chainId", int(CHAIN_ID))),
            accounts=dict(_account(name, entry) for name, entry in alloc.items()),
            timestamp=None if "timestamp" not in top else _number("timestamp", top["timestamp"]),
            gas_limit=_number("gasLimit", top.get("gasLimit", BLOCK_GAS_LIMIT)),
            base_fee=_number("baseFeePerGas", top.get("baseFeePerGas", BASE_FEE), bits=256),
            coinbase=Address(_bytes("coinbase", top.get("coinbase", str(ZERO_ADDRESS)), Address.length)),
            extra_data=_bytes("extraData", top.get("extraData", "0x")),
            mix_hash=Bytes32(_bytes("mixHash", top.get("mixHash", str(ZERO_BYTES32)), Bytes32.length)),
        )

    @property
    def digest(self) -> str:
        """SHA-256 over every field, as hex: what a chain is recognised by when it is opened again."""
        accounts = {
            str(address): [
                account.nonce,
                account.balance,
                account.code.hex(),
                {str(key): str(value) for key, value in sorted(account.storage.items())},
            ]
            for address, account in sorted(self.accounts.items())
        }
        fields = [
            self.chain_id,
            accounts,
            self.timestamp,
            self.gas_limit,
            self.base_fee,
            str(self.coinbase),
            self.extra_data.hex(),
            str(self.mix_hash),
        ]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()

    def header(self, state_root: Bytes32, now: int) -> Header:
        """Return the header of the first block."""
        return Header(
            state_root=state_root,
            timestamp=now if self.timestamp is None else self.timestamp,
            gas_limit=self.gas_limit,
            base_fee=self.base_fee,
            coinbase=self.coinbase,
            extra_data=self.extra_data,
            mix_hash=self.mix_hash,
        )


def _account(name: str, entry: Any) -> tuple[Address, GenesisAccount]:
    where = f"alloc.{name}"
    given = _object(where, entry)
    storage = _object(f"{where}.storage", given.get("storage", {}))
    account = GenesisAccount(
        nonce=_number(f"{where}.nonce", given.get("nonce", 0)),
        balance=U256(_number(f"{where}.balance", given.get("balance", 0), bits=256)),
        code=_bytes(f"{where}.code", given.get("code", "0x")),
        storage={_slot(f"{where}.storage", key): _slot(f"{where}.storage", value) for key, value in storage.items()},
    )
    return Address(_bytes(where, name, Address.length)), account


def _object(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UnusableChain(f"genesis: {where} must be an object")
    return value


def _number(where: str, value: Any, bits: int = 64) -> int:
    try:
        number = int(value, 0) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1 << bits:
        raise UnusableChain(f"genesis: {where} must be a number from 0 to 2^{bits} - 1, in JSON or as text")
    return number


def _bytes(where: str, value: Any, length: int | None = None) -> bytes:
    try:
        data = bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError):
        raise UnusableChain(f"genesis: {where} must be hex digits after 0x") from None
    if length is not None and len(data) != length:
        raise UnusableChain(f"genesis: {where} must have {length} bytes, not {len(data)}")
    return data


def _slot(where: str, value: Any) -> Bytes32:
    data = _bytes(where, value)
    if len(data) > Bytes32.length:
        raise UnusableChain(f"genesis: {where} must have at most {Bytes32.length} bytes, not {len(data)}")
    return Bytes32(data.rjust(Bytes32.length, b"\0"))
