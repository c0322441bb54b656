"""A chain in process for tests: contracts from their ABI, web3.py and eth-tester over it, reports of gas."""
