"""eth-tester over a chain in this process: `EthereumTester(EthTesterBackend())`.

eth-tester numbers snapshots, keeps filters and decides when blocks are made; values are its canonical ones: addresses
and hashes as bytes, quantities as integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from eth_tester.backends.base import BaseChainBackend
from eth_tester.exceptions import BlockNotFound, TransactionFailed, TransactionNotFound, ValidationError

from evmc import U256, Address, Bytes32, Status
from node.abi import revert_reason
from node.chain import (
    Block,
    BlockLog,
    BlockReceipt,
    Call,
    ExecutionFailed,
    MinedTransaction,
    SignedTransaction,
    Tag,
    TransactionRefused,
    UnknownBlock,
    Wallet,
)
from node.chain import Chain as Core
from node.chain.signed import DYNAMIC_FEE, LEGACY
from node.testing.chain import Chain
from state.account import NO_ACCOUNT, Account

_BYTES32: Final = 32
_PROTECTED: Final = 35
_UNPROTECTED: Final = 27
"""What a legacy transaction's `v` begins at, with a chain id (EIP-155) and without."""


class EthTesterBackend(BaseChainBackend):  # type: ignore[misc]  # eth-tester has no types
    """The backend of a chain, None for a new one; the chain makes blocks from then on when eth-tester says so."""

    def __init__(self, chain: Chain | Core | None = None) -> None:
        chain = Chain() if chain is None else chain
        self.chain = chain.core if isinstance(chain, Chain) else chain
        self.chain.set_automine(False)
        self._accounts = self.chain.wallet
        self._snapshots: list[int | None] = []

    # Snapshots

    def take_snapshot(self) -> int:
        """Return a number for the chain as it is."""
        self._snapshots.append(self.chain.snapshot())
        return len(self._snapshots) - 1

    def revert_to_snapshot(self, snapshot: int) -> None:
        """Go back, as often as wanted; snapshots taken later are used up."""
        handle = self._snapshots[snapshot]
        if handle is None or not self.chain.revert(handle):
            raise ValidationError(f"snapshot {snapshot} is used up: the chain went back to an earlier one")
        later = len(self._snapshots) - snapshot - 1
        self._snapshots[snapshot:] = [self.chain.snapshot(), *[None] * later]

    def reset_to_genesis(self) -> None:
        """Begin anew with the accounts there were."""
        self.chain.wallet = self._accounts
        self.chain.reset()
        self._snapshots = [None] * len(self._snapshots)

    # Blocks

    def time_travel(self, to_timestamp: int) -> None:
        """Make a block of this time."""
        self.chain.set_next_timestamp(to_timestamp)
        self.chain.mine()

    def mine_blocks(self, num_blocks: int = 1, coinbase: bytes = bytes(20)) -> tuple[bytes, ...]:
        """Make blocks and return their hashes."""
        self.chain.set_coinbase(Address(coinbase))
        return tuple(self.chain.mine().hash for _ in range(num_blocks))

    def get_block_by_number(self, block_number: Tag, full_transaction: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002
        """Return a block."""
        try:
            block = self.chain.block(block_number)
        except UnknownBlock as error:
            raise BlockNotFound(str(error)) from error
        return self._block(block, full=full_transaction, pending=block.number > self.chain.head.number)

    def get_block_by_hash(self, block_hash: bytes, full_transaction: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002
        """Return a block."""
        return self.get_block_by_number(Bytes32(block_hash), full_transaction)

    def get_fee_history(
        self, block_count: int = 1, newest_block: Tag = "latest", reward_percentiles: Sequence[float] = ()
    ) -> dict[str, Any]:
        """Return base fees, shares of gas used, and priority fees by percentile."""
        found = self.chain.fee_history(block_count, newest_block, reward_percentiles)
        return {
            "oldest_block": found.oldest,
            "base_fee_per_gas": list(found.base_fees),
            "gas_used_ratio": list(found.gas_used_ratios),
            "reward": [list(row) for row in found.rewards or ()],
        }

    # Accounts

    def get_accounts(self) -> tuple[bytes, ...]:
        """Return the accounts whose keys there are."""
        return self.chain.wallet.addresses

    def add_account(self, private_key: bytes) -> None:
        """Add a key."""
        wallet = self.chain.wallet
        self.chain.wallet = Wallet([*map(wallet.key, wallet.addresses), Bytes32(private_key)])

    def get_nonce(self, account: bytes, block_number: Tag | None = None) -> int:
        """Return how many transactions an account has sent."""
        return self._account(account, block_number).nonce

    def get_balance(self, account: bytes, block_number: Tag | None = None) -> int:
        """Return a balance."""
        return self._account(account, block_number).balance

    def get_code(self, account: bytes, block_number: Tag | None = None) -> bytes:
        """Return the code of an account."""
        return self.chain.state(block_number or "latest").code(self._account(account, block_number).code_hash)

    def get_storage(self, account: bytes, slot: int, block_number: Tag | None = None) -> int:
        """Return a slot of an account."""
        found = self.chain.state(block_number or "latest").storage(Address(account), Bytes32.from_int(slot))
        return int.from_bytes(found, "big")

    def _account(self, account: bytes, block_number: Tag | None) -> Account:
        tag = "latest" if block_number is None else block_number
        return self.chain.state(tag).account(Address(account)) or NO_ACCOUNT

    # Transactions

    def send_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """Sign a transaction with the node's key and take it."""
        call = _call(transaction)
        try:
            payload = self.chain.fill(call)
            if payload.type == LEGACY:  # eth-tester takes a `v` of 8 bits only, which EIP-155's is not here
                payload = replace(payload, chain_id=None)
            return self.chain.submit(self.chain.wallet.sign(payload, call.origin))
        except (TransactionRefused, ExecutionFailed) as error:
            raise ValidationError(str(error)) from error

    def send_signed_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """Take a transaction whose signature is given in parts."""
        payload, parity = self.chain.fill(_call(transaction)), transaction["v"]
        if payload.type == LEGACY and parity >= _PROTECTED:
            parity = (parity - _PROTECTED) % 2
        elif payload.type == LEGACY:
            payload, parity = replace(payload, chain_id=None), parity - _UNPROTECTED
        return self._submitted(SignedTransaction.signed(payload, parity, transaction["r"], transaction["s"]))

    def send_raw_transaction(self, raw_transaction: bytes) -> bytes:
        """Take an encoded transaction."""
        return self._submitted(SignedTransaction.decode(raw_transaction))

    def _submitted(self, transaction: SignedTransaction) -> bytes:
        try:
            return self.chain.submit(transaction)
        except TransactionRefused as error:
            raise ValidationError(str(error)) from error

    def estimate_gas(self, transaction: Mapping[str, Any], block_number: Tag = "latest") -> int:
        """Return the least gas limit with which a transaction succeeds."""
        try:
            return self.chain.estimate_gas(_call(transaction), block_number)
        except ExecutionFailed as error:
            raise TransactionFailed(_failure(error.result.output, str(error))) from error

    def call(self, transaction: Mapping[str, Any], block_number: Tag = "latest") -> bytes:
        """Return the output of a call."""
        done = self.chain.call(_call(transaction), block_number)
        if done.result.status is not Status.SUCCESS:
            raise TransactionFailed(_failure(done.result.output, done.reason or ""))
        return done.result.output

    def get_transaction_by_hash(self, transaction_hash: bytes) -> dict[str, Any]:
        """Return a transaction, mined or waiting."""
        found = self.chain.transaction(Bytes32(transaction_hash))
        if found is None:
            raise TransactionNotFound(f"No transaction found for transaction hash: 0x{transaction_hash.hex()}")
        return _transaction(found)

    def get_transaction_receipt(self, transaction_hash: bytes) -> dict[str, Any]:
        """Return a receipt: of a waiting transaction, what it would be in a block made now."""
        found = self.chain.receipt(Bytes32(transaction_hash))
        if found is not None:
            return _receipt(found, pending=False)
        for waiting in self.chain.receipts("pending"):
            if waiting.transaction.hash == transaction_hash:
                return _receipt(waiting, pending=True)
        raise TransactionNotFound(f"No transaction found for transaction hash: 0x{transaction_hash.hex()}")

    def _block(self, block: Block, *, full: bool, pending: bool) -> dict[str, Any]:
        header = block.header
        placed = (
            MinedTransaction(tx, header.hash, header.number, index, header.base_fee)
            for index, tx in enumerate(block.transactions)
        )
        return {
            "number": header.number,
            "hash": header.hash,
            "parent_hash": header.parent_hash,
            "nonce": header.nonce,
            "sha3_uncles": header.ommers_hash,
            "logs_bloom": int.from_bytes(header.bloom, "big"),
            "transactions_root": header.transactions_root,
            "receipts_root": header.receipts_root,
            "state_root": header.state_root,
            "coinbase": header.coinbase,
            "difficulty": header.difficulty,
            "total_difficulty": header.difficulty,
            "mix_hash": header.mix_hash,
            "size": block.size,
            "extra_data": header.extra_data.rjust(_BYTES32, b"\0"),
            "gas_limit": header.gas_limit,
            "gas_used": header.gas_used,
            "timestamp": header.timestamp,
            "base_fee_per_gas": header.base_fee,
            "uncles": [],
            "transactions": [
                _transaction(MinedTransaction(each.transaction) if pending else each) if full else each.transaction.hash
                for each in placed
            ],
        }


def _call(given: Mapping[str, Any]) -> Call:
    """Return what a transaction of eth-tester asks for; b"" as the recipient is a creation."""
    access_list = given.get("access_list")
    return Call(
        sender=Address(given["from"]),
        to=Address(given["to"]) if given.get("to") else None,
        gas=given.get("gas"),
        gas_price=given.get("gas_price"),
        max_fee=given.get("max_fee_per_gas"),
        max_tip=given.get("max_priority_fee_per_gas"),
        value=U256(given.get("value", 0)),
        data=bytes(given.get("data", b"")),
        nonce=given.get("nonce"),
        chain_id=given.get("chain_id"),
        access_list=None
        if access_list is None
        else tuple((Address(address), tuple(map(Bytes32.from_int, slots))) for address, slots in access_list),
    )


def _failure(output: bytes, reason: str) -> str:
    """Return what web3.py puts into its exception: the text of a revert, else its data, else how the call ended."""
    text = revert_reason(output)
    return text if text is not None else f"0x{output.hex()}" if output else reason


def _transaction(found: MinedTransaction) -> dict[str, Any]:
    tx = found.transaction
    price = tx.max_fee if found.base_fee is None else tx.effective_price(found.base_fee)
    fields: dict[str, Any] = {
        "type": tx.type,
        "hash": tx.hash,
        "nonce": tx.nonce,
        "block_hash": found.block_hash,
        "block_number": found.block_number,
        "transaction_index": found.index,
        "from": tx.sender,
        "to": tx.to or b"",
        "value": tx.value,
        "gas": tx.gas_limit,
        "gas_price": price,
        "data": tx.data,
        "v": tx.v,
        "r": tx.r,
        "s": tx.s,
    }
    if tx.type != LEGACY:
        fields |= {"chain_id": tx.chain_id, "y_parity": tx.y_parity}
        slots = ((address, tuple(int.from_bytes(key, "big") for key in keys)) for address, keys in tx.access_list)
        fields["access_list"] = tuple(slots)
    if tx.type == DYNAMIC_FEE:
        fields |= {"max_fee_per_gas": tx.max_fee, "max_priority_fee_per_gas": tx.max_tip}
    return fields


def _receipt(found: BlockReceipt, *, pending: bool) -> dict[str, Any]:
    tx = found.transaction
    return {
        "transaction_hash": tx.hash,
        "transaction_index": None if pending else found.index,
        "block_number": None if pending else found.block_number,
        "block_hash": None if pending else found.block_hash,
        "cumulative_gas_used": found.cumulative_gas_used,
        "effective_gas_price": found.effective_gas_price,
        "from": tx.sender,
        "to": tx.to or b"",
        "gas_used": found.gas_used,
        "contract_address": found.contract,
        "logs": [_log(each, pending=pending) for each in found.placed_logs],
        "state_root": bytes([found.succeeded]),
        "status": int(found.succeeded),
        "type": tx.type,
    }


def _log(found: BlockLog, *, pending: bool) -> dict[str, Any]:
    return {
        "type": "pending" if pending else "mined",
        "log_index": found.index,
        "transaction_index": None if pending else found.transaction_index,
        "transaction_hash": found.transaction_hash,
        "block_hash": None if pending else found.block_hash,
        "block_number": None if pending else found.block_number,
        "address": found.log.address,
        "data": found.log.data,
        "topics": list(found.log.topics),
    }
