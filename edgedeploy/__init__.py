"""Take a trained model to edge devices and prove that it still works there. The library is `edgedeploy.api`."""
