"""The shared vocabulary between hosts and virtual machines, after EVMC ABI 12."""

from evmc.host import Host, Precompile, Precompiles, StorageStatus
from evmc.message import MAX_DEPTH, CallKind, Message, TxContext
from evmc.mock import MockAccount, MockHost
from evmc.result import Log, Result, Status
from evmc.types import U256, ZERO_ADDRESS, ZERO_BYTES32, Address, Bytes32, Gas
from evmc.vm import VM

__all__ = [
    "MAX_DEPTH",
    "U256",
    "VM",
    "ZERO_ADDRESS",
    "ZERO_BYTES32",
    "Address",
    "Bytes32",
    "CallKind",
    "Gas",
    "Host",
    "Log",
    "Message",
    "MockAccount",
    "MockHost",
    "Precompile",
    "Precompiles",
    "Result",
    "Status",
    "StorageStatus",
    "TxContext",
]
