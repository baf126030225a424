"""The whole way for one device: from a contract to a verdict."""
