"""What takes several rooms: shipping, writing a contract, smoke tests, emulated boards at work, the doctor."""
