"""A deterministic, metered smart-contract engine for Ewasm."""
