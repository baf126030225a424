"""All that is needed to reach a device over SSH, as one value."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from edgedeploy.device.ssh.algorithms import AllowedAlgorithms


class SshSettings(Struct, frozen=True, kw_only=True):
    """All that is needed to reach a device."""

    host: str
    port: int = 22
    user: str
    key_paths: tuple[Path, ...] = ()
    """Tried in this order; of those that the agent has too, the first one before all files."""
    only_these_keys: bool = False
    """No other key of the agent, and none of the default keys in ~/.ssh (IdentitiesOnly)."""
    known_hosts: tuple[Path, ...]
    """The first is the one that `accept_new` writes to. Missing files are empty ones."""
    revoked_keys: Path | None = None
    """A file of host keys that are trusted for no host (RevokedHostKeys)."""
    known_as: str | None = None
    """The name that these files have the host under, instead of host and port (HostKeyAlias)."""
    accept_new: bool = False
    """Trust a host that no file knows yet, and remember its key. A changed key is refused all the same."""
    timeout_s: float = 15.0
    """For the TCP connection, the banner and each step of the authentication."""
    algorithms: AllowedAlgorithms = AllowedAlgorithms()
    jump: SshSettings | None = None
    """Go through this host first (ProxyJump)."""

    @property
    def where(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"

    @property
    def keys_in_words(self) -> str:
        """Which keys are tried, for messages."""
        keys = [str(path) for path in self.key_paths]
        if self.only_these_keys:
            return f"the key{'s' if len(keys) > 1 else ''} {', '.join(keys)}"
        return f"the agent's keys and {', '.join(keys) or 'the default keys in ~/.ssh'}"
