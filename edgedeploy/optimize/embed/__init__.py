"""Put preprocessing into a model, so that an application cannot get it wrong."""
