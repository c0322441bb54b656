"""Accounts, their storage and their tries: everything that goes into a state root."""

from state.account import Account
from state.codec import CodecError, decode, encode
from state.database import CorruptEntry, Database, MissingCode, MissingEntry, MissingNode, MissingPreimage
from state.diff import AccountDiff, Change, Diff
from state.hash import EMPTY_CODE_HASH, keccak256
from state.journal import MAX_BALANCE, ExcessBalance, InsufficientBalance, Journal, JournalView
from state.proof import AccountProof, BadProof, Fault, StorageProof, prove_account, verify_account_proof
from state.store import Changes, MemoryStore, Store, StoreError, Table
from state.trie import EMPTY_ROOT, Trie, root_of
from state.view import StateView
from state.world import GenesisAccount, StaleDiff, WorldState

__all__ = [
    "EMPTY_CODE_HASH",
    "EMPTY_ROOT",
    "MAX_BALANCE",
    "Account",
    "AccountDiff",
    "AccountProof",
    "BadProof",
    "Change",
    "Changes",
    "CodecError",
    "CorruptEntry",
    "Database",
    "Diff",
    "ExcessBalance",
    "Fault",
    "GenesisAccount",
    "InsufficientBalance",
    "Journal",
    "JournalView",
    "MemoryStore",
    "MissingCode",
    "MissingEntry",
    "MissingNode",
    "MissingPreimage",
    "StaleDiff",
    "StateView",
    "StorageProof",
    "Store",
    "StoreError",
    "Table",
    "Trie",
    "WorldState",
    "decode",
    "encode",
    "keccak256",
    "prove_account",
    "root_of",
    "verify_account_proof",
]
