"""Encode values with scalecodec, in an environment that has it: reads JSON pairs of type and value, writes hex.

With the argument `decode`, values are hex, which is decoded first.
"""

from __future__ import annotations

import json
import sys

from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

config = RuntimeConfigurationObject()
config.update_type_registry(load_type_registry_preset("core"))
config.update_type_registry(
    {
        "types": {
            "Point": {
                "type": "struct",
                "type_mapping": [["x", "Compact<u32>"], ["y", "Option<bool>"], ["z", "Vec<u8>"]],
            },
            "Choice": {"type": "enum", "type_mapping": [["Nothing", "Null"], ["Number", "u64"], ["Place", "Point"]]},
        }
    }
)
answers = []
for kind, value in json.load(sys.stdin):
    target = config.create_scale_object(kind)
    given = target.decode(ScaleBytes(value)) if sys.argv[1:] == ["decode"] else value
    answers.append(target.encode(given).to_hex())
json.dump(answers, sys.stdout)
