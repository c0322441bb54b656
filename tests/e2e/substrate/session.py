"""A session of substrate-interface with the node: python session.py PORT CREATE_HEX; prints JSON, one thing a line."""

from __future__ import annotations

import json
import sys
from typing import Any

from substrateinterface import Keypair, KeypairType, SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException

port, code = sys.argv[1:]


def say(name: str, value: Any) -> None:
    sys.stdout.write(json.dumps([name, value]) + "\n")
    sys.stdout.flush()


node = SubstrateInterface(url=f"ws://127.0.0.1:{port}", ss58_format=42)
alice = Keypair.create_from_uri("//Alice")
SEED = "0xabf8e5bdbe30c65656c0a3cbd181ff8a56294a69dfedd27982aace4a76909115"  # of //Alice, which it cannot derive
ed = Keypair.create_from_seed(SEED, crypto_type=KeypairType.ED25519)
GAS = 5_000_000


def send(pallet: str, name: str, by: Keypair = alice, era: Any = None, **arguments: Any) -> Any:
    call = node.compose_call(pallet, name, arguments)
    extrinsic = node.create_signed_extrinsic(call, by, era=era)
    return node.submit_extrinsic(extrinsic, wait_for_finalization=True)


def events(receipt: Any) -> dict[str, Any]:
    found = [each.value["event"] for each in receipt.triggered_events]
    return {f"{each['module_id']}.{each['event_id']}": each["attributes"] for each in found}


say("chain", [node.chain, node.runtime_version, node.properties["tokenDecimals"]])
say("constant", node.get_constant("Ewasm", "GasLimit").value)
say("remark", [send("System", "remark", by, remark="0x12").is_success for by in (alice, ed)])
say("mortal", send("System", "remark", era={"period": 64}, remark="0x12").is_success)
created = send("Ewasm", "create", code=code, value=0, gas_limit=GAS, gas_price=99)
address = events(created)["Ewasm.Created"]["address"]
say("created", [created.is_success, address])
mine = "9621dde636de098b43efb0fa9b61facfe328f99d"
data = "0x70a08231" + mine.rjust(64, "0")
called = send("Ewasm", "call", target=address, input=data, value=0, gas_limit=GAS, gas_price=99)
say("balance", events(called)["Ewasm.Executed"]["output"])
failed = send("Ewasm", "call", target=address, input="0x00000000", value=0, gas_limit=GAS, gas_price=99)
say("failed", [failed.is_success, failed.error_message["name"], "Ewasm.ExecutedFailed" in events(failed)])
account = node.query("System", "Account", [alice.ss58_address]).value
say("account", [account["nonce"], account["data"]["free"] > 0])
say("accounts", len([key for key, _ in node.query_map("System", "Account", page_size=5)]))
slots = [(key, value) for key, value in node.query_map("Ewasm", "AccountStorages", [address])]
say("slots", len(slots))
call = node.compose_call(
    "Ewasm", "call", {"target": address, "input": data, "value": 0, "gas_limit": GAS, "gas_price": 99}
)
say("fee", node.get_payment_info(call, alice)["partialFee"] > 99 * GAS)
try:
    node.submit_extrinsic(node.create_signed_extrinsic(call, alice, nonce=0))
    say("stale", "taken")
except SubstrateRequestException as error:
    say("stale", [error.args[0]["code"], error.args[0]["data"]])
node.close()
