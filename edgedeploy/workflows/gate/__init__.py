"""The gate of CI: contracts on emulated boards that count, and their figures against a baseline."""
