"""What people and programs read: content (each sentence said once), exports (one module a format), terminal."""
