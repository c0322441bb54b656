"""What a chain of the Substrate-style face is: names, versions, fees, limits, and the constants made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from evmc import Gas
from node.defaults import BLOCK_GAS_LIMIT, CHAIN_ID
from node.substrate.apis import APIS
from node.substrate.keys import SS58_PREFIX

WEIGHT_PER_GAS: Final = 20_000
"""Picoseconds of reference time that one gas stands for; weight is gas times this, and gas is weight over this."""

BASE_WEIGHT: Final = 100_000_000
"""What every extrinsic weighs beside its gas, in picoseconds."""

MAX_LENGTH: Final = 5 << 20
BLOCK_HASH_COUNT: Final = 256
MAX_WEIGHT: Final = (1 << 64) - 1


def weight_of(gas: Gas) -> int:
    """Return the reference time of an extrinsic that may use so much gas, at most 2^64 - 1."""
    return min(MAX_WEIGHT, BASE_WEIGHT + gas * WEIGHT_PER_GAS)


def gas_of(ref_time: int) -> Gas:
    """Return the gas that a reference time is for: the most whose weight it covers."""
    return max(0, ref_time - BASE_WEIGHT) // WEIGHT_PER_GAS


def weight(ref_time: int) -> dict[str, int]:
    """Return a weight as it is encoded; proofs have no size here."""
    return {"ref_time": ref_time, "proof_size": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A chain's settings; amounts in the smallest unit.

    A fee is `base_fee`, `byte_fee` for each byte, gas at the price that the call names, and the tip.
    """

    name: str = "Development"
    chain_id: int = int(CHAIN_ID)
    gas_limit: Gas = BLOCK_GAS_LIMIT
    min_gas_price: int = 1
    base_fee: int = 100_000
    byte_fee: int = 10
    spec_version: int = 1
    transaction_version: int = 1

    def version(self) -> dict[str, Any]:
        """Return the version of the runtime."""
        return {
            "spec_name": "ewasm-node",
            "impl_name": "ewasm-node",
            "authoring_version": 1,
            "spec_version": self.spec_version,
            "impl_version": 1,
            "apis": [(api.id, api.version) for api in APIS],
            "transaction_version": self.transaction_version,
            "state_version": 1,
        }

    def constants(self) -> dict[str, Any]:
        """Return the constants of all pallets, as "Pallet.Name"."""
        most = weight(weight_of(self.gas_limit))
        of_class = {"base_extrinsic": weight(BASE_WEIGHT), "max_extrinsic": most, "max_total": most, "reserved": None}
        classes = ("normal", "operational", "mandatory")
        return {
            "System.BlockWeights": {
                "base_block": weight(0),
                "max_block": most,
                "per_class": dict.fromkeys(classes, of_class),
            },
            "System.BlockLength": {"max": dict.fromkeys(classes, MAX_LENGTH)},
            "System.BlockHashCount": BLOCK_HASH_COUNT,
            "System.Version": self.version(),
            "System.SS58Prefix": SS58_PREFIX,
            "Timestamp.MinimumPeriod": 500,
            "Balances.ExistentialDeposit": 1,
            "TransactionPayment.OperationalFeeMultiplier": 1,
            "Ewasm.WeightPerGas": WEIGHT_PER_GAS,
            "Ewasm.GasLimit": self.gas_limit,
            "Ewasm.MinGasPrice": self.min_gas_price,
            "Ewasm.ChainId": self.chain_id,
        }
