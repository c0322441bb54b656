"""The Substrate-style face: SCALE, accounts, extrinsics, metadata, runtime."""
