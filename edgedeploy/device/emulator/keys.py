"""Fresh Ed25519 keys in OpenSSH's formats, for a board and for whoever logs in to it."""

from __future__ import annotations

from msgspec import Struct


class KeyPair(Struct, frozen=True):
    private: bytes
    """`openssh-key-v1`, without a passphrase."""
    public: str
    """One line, `ssh-ed25519 AAAA…`, without a comment."""


def new_key_pair() -> KeyPair:
    """Make a new key, from the operating system's randomness."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    return KeyPair(
        private=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        ),
        public=key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode("ascii"),
    )
