"""Accounts, their storage and their tries: everything that goes into a state root."""

from state.account import Account
from state.codec import CodecError, decode, encode
from state.database import CorruptEntry, Database, MissingCode, MissingEntry, MissingNode, MissingPreimage
from state.diff import AccountDiff, Change, Diff
from state.hash import EMPTY_CODE_HASH, keccak256
from state.journal import InsufficientBalance, Journal
from state.store import Changes, MemoryStore, Store, StoreError, Table
from state.trie import EMPTY_ROOT, Trie, root_of
from state.view import StateView
from state.world import GenesisAccount, StaleDiff, WorldState

__all__ = [
    "EMPTY_CODE_HASH",
    "EMPTY_ROOT",
    "Account",
    "AccountDiff",
    "Change",
    "Changes",
    "CodecError",
    "CorruptEntry",
    "Database",
    "Diff",
    "GenesisAccount",
    "InsufficientBalance",
    "Journal",
    "MemoryStore",
    "MissingCode",
    "MissingEntry",
    "MissingNode",
    "MissingPreimage",
    "StaleDiff",
    "StateView",
    "Store",
    "StoreError",
    "Table",
    "Trie",
    "WorldState",
    "decode",
    "encode",
    "keccak256",
    "root_of",
]
