"""Chain and tools: transactions over state, test runners, the command line."""
