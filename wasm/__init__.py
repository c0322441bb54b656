"""The WebAssembly machine: decode, validate, run, encode. It knows no Ethereum and no gas."""
