"""Create a token with an extrinsic, move some, and read it as Substrate's clients do.

Run it: `python examples/erc20_on_a_pallet.py`. Through a port instead, with `@polkadot/api` or `substrate-interface`:
`ewasm node --substrate-port 9944`.
"""

from pathlib import Path
from typing import Any

from eth_abi import encode

from evmc import Address
from node.chain import Chain, Genesis
from node.substrate.accounts import HOME, development_accounts, genesis_account
from node.substrate.extrinsic import sign
from node.substrate.face import Face
from node.substrate.keys import h160, keypair
from node.substrate.types import IMMORTAL
from state import keccak256

CODE = (Path(__file__).parents[1] / "fixtures" / "erc20_deploy.wasm").read_bytes()
ALICE, BOB = keypair("//Alice"), keypair("//Bob", "ed25519")
MESSAGE = {"value": 0, "gas_limit": 5_000_000, "gas_price": 99}


def data(signature: str, *arguments: Any) -> bytes:
    """Return call data."""
    types = signature.partition("(")[2].rstrip(")").split(",")
    return keccak256(signature.encode())[:4] + encode(types, arguments)


def send(face: Face, name: str, **arguments: Any) -> dict[str, Any]:
    """Have Alice send her next extrinsic; return the events of the pallet."""
    number = face.chain.head.number + 1
    around = face.surroundings(IMMORTAL, number)
    assert around is not None
    face.submit(sign(ALICE, ("Ewasm", (name, {**arguments, **MESSAGE})), number - 1, around).encoded)
    return dict(record["event"][1] for record in face.blocks.events(number) if record["event"][0] == "Ewasm")


def main() -> None:
    """Create the token, move three to Bob, try to move too many."""
    accounts = {HOME: genesis_account(development_accounts())}
    chain = Chain(genesis=Genesis(accounts=accounts))
    face = Face(chain)
    token = Address(send(face, "create", code=CODE)["Created"]["address"])
    print(f"{ALICE.address} created {token}")
    moved = send(face, "call", target=token, input=data("transfer(address,uint256)", h160(BOB.account), 3))
    print(f"transfer: {', '.join(moved)}")
    for name, who in (("Alice", ALICE), ("Bob", BOB)):
        asked = send(face, "call", target=token, input=data("balanceOf(address)", h160(who.account)))
        print(f"{name} has {int.from_bytes(asked['Executed']['output'])}")
    failed = send(face, "call", target=token, input=data("transfer(address,uint256)", h160(BOB.account), 5_000))
    print(f"too many: {', '.join(failed)}, {failed['ExecutedFailed']['output'][68:].rstrip(bytes(1)).decode()}")
    face.close()
    chain.close()


if __name__ == "__main__":
    main()
