"""Accounts, their storage and their tries: everything that goes into a state root."""

from state.account import Account
from state.codec import CodecError, decode, encode
from state.diff import AccountDiff, Change, Diff
from state.hash import EMPTY_CODE_HASH, keccak256
from state.journal import InsufficientBalance, Journal
from state.store import MemoryStore, MissingCode, MissingEntry, MissingNode, MissingPreimage, Store
from state.trie import EMPTY_ROOT, Trie, root_of
from state.view import StateView
from state.world import GenesisAccount, StaleDiff, WorldState

__all__ = [
    "EMPTY_CODE_HASH",
    "EMPTY_ROOT",
    "Account",
    "AccountDiff",
    "Change",
    "CodecError",
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
    "Trie",
    "WorldState",
    "decode",
    "encode",
    "keccak256",
    "root_of",
]
