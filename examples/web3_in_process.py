"""Deploy an ERC-20 token and use it with web3.py, without a node: the chain is in this process.

Run it: `python examples/web3_in_process.py`.
"""

import json
from pathlib import Path

from web3 import Web3
from web3.exceptions import ContractLogicError

from ewasm.testing import EwasmProvider

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


def main() -> None:
    """Deploy, transfer, look, fail."""
    w3 = Web3(EwasmProvider())
    alice, bob = w3.eth.accounts[:2]
    w3.eth.default_account = alice

    abi = json.loads((FIXTURES / "erc20.abi.json").read_text())
    code = (FIXTURES / "erc20_deploy.wasm").read_bytes()
    deployed = w3.eth.wait_for_transaction_receipt(w3.eth.contract(abi=abi, bytecode=code).constructor().transact())
    token = w3.eth.contract(deployed["contractAddress"], abi=abi)
    print(token.functions.name().call(), "at", token.address, "for", deployed["gasUsed"], "gas")

    receipt = w3.eth.wait_for_transaction_receipt(token.functions.transfer(bob, 3).transact())
    (event,) = token.events.Transfer().process_receipt(receipt)
    print("transfer:", receipt["gasUsed"], "gas,", event["args"]["value"], "to", event["args"]["to"])
    print("Alice has", token.functions.balanceOf(alice).call(), "and Bob has", token.functions.balanceOf(bob).call())

    try:
        token.functions.transfer(alice, 1_000).transact({"from": bob})
    except ContractLogicError as error:
        print(error.message)


if __name__ == "__main__":
    main()
