"""The JSON-RPC face of a chain: a table of methods, a dispatcher, a server for HTTP and WebSocket."""
