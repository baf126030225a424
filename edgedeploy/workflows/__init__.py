"""Workflows over several packages: ship, contract, smoke test, models on emulated boards, doctor."""
