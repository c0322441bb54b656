"""Deploy an ERC-20 token on a Merkle state and use it, one transaction after the other.

Run it: `python examples/erc20_on_a_state.py`.
"""

from pathlib import Path

from ewasm import EWASM, U256, Address, EwasmVM, Message, TxContext, system_contracts
from node.host import NodeHost
from node.transaction import Receipt, Transaction, execute_transaction
from state import Database, GenesisAccount, Journal, WorldState

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
ALICE = Address.from_hex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266")
BOB = Address.from_hex("41dccbd49b26c50d34355ed86ff0fa9e489d1e01")
BLOCK = TxContext(number=1, timestamp=1_600_000_012, gas_limit=30_000_000, chain_id=U256(31_337))

BALANCE_OF = bytes.fromhex("70a08231")  # balanceOf(address) -> uint256
TRANSFER = bytes.fromhex("a9059cbb")  # transfer(address,uint256) -> bool


def word(value: bytes | int) -> bytes:
    """Return an argument as the Solidity ABI has it."""
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def main() -> None:
    """Deploy, ask, transfer, ask again."""
    vm, contracts = EwasmVM(), system_contracts(EWASM)
    world = WorldState.genesis(Database(), {ALICE: GenesisAccount(balance=U256(10**18))})

    def transact(to: Address | None, data: bytes) -> Receipt:
        """Execute a transaction of Alice's; the state after it becomes the state."""
        nonlocal world
        journal = Journal(world)
        nonce = journal.nonce(ALICE)
        tx = Transaction(sender=ALICE, to=to, nonce=nonce, gas_limit=2_000_000, gas_price=U256(1), data=data)
        receipt = execute_transaction(tx, journal, BLOCK, vm, EWASM, contracts)
        world = world.apply(receipt.diff)
        return receipt

    def balance_of(token: Address, owner: Address) -> int:
        """Ask without a transaction: what the message changes is dropped with its journal."""
        host = NodeHost(Journal(world), BLOCK, vm, EWASM, contracts, lambda _number: None)
        message = Message(gas=1_000_000, recipient=token, code_address=token, input=BALANCE_OF + word(owner))
        return int.from_bytes(host.call(message).output, "big")

    deployed = transact(None, (FIXTURES / "erc20_deploy.wasm").read_bytes())
    token = deployed.contract
    assert token is not None, "a creation has an address"
    print("deployed at", token, "for", deployed.gas_used, "gas")
    print("root", world.root)
    print("Alice has", balance_of(token, ALICE), "and Bob has", balance_of(token, BOB))

    receipt = transact(token, TRANSFER + word(BOB) + word(3))
    print("transfer:", receipt.result.status.name, "for", receipt.gas_used, "gas,", len(receipt.logs), "event")
    print("root", world.root)
    print("Alice has", balance_of(token, ALICE), "and Bob has", balance_of(token, BOB))

    account = world.account(ALICE)
    assert account is not None
    print("Alice paid", 10**18 - account.balance, "for", account.nonce, "transactions")


if __name__ == "__main__":
    main()
