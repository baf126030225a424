"""Whether the host key that a server shows is the device's."""

from __future__ import annotations

import shlex
from typing import Any

import paramiko

from edgedeploy.device.ssh.known_hosts import KnownKey, fingerprint, remember
from edgedeploy.device.ssh.settings import SshSettings
from edgedeploy.foundation.errors import AuthenticationError


class HostKeyPolicy(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Decides on every host key: paramiko is given none of its own, so that it asks about each."""

    def __init__(self, settings: SshSettings, known_as: str, known: tuple[KnownKey, ...]) -> None:
        self._settings = settings
        self._known_as = known_as
        self._known = known

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        settings, blob = self._settings, key.asbytes()
        where = settings.where
        shown = fingerprint(key.get_name(), blob)
        same = [each for each in self._known if each.blob == blob]
        others = [each for each in self._known if not each.revoked]
        revoked = [each for each in same if each.revoked]
        if revoked:
            raise AuthenticationError(
                f"the host key of {where} is revoked",
                why=f"it shows {shown}, and {revoked[0].path} says that this key must not be trusted any more",
                hint="set the device's host keys up anew: ssh-keygen -A",
            )
        if same:
            return
        if others:
            raise AuthenticationError(
                f"the host key of {where} has changed",
                why=f"known is {fingerprint(others[0].kind, others[0].blob)}, it shows {shown}: "
                "either the device was set up anew, or somebody is between you and it",
                hint="if you know why it changed: "
                f"ssh-keygen -f {shlex.quote(str(others[0].path))} -R {shlex.quote(self._known_as)}",
            )
        if not settings.accept_new:
            raise AuthenticationError(
                f"the host key of {where} is not known",
                why=f"it shows {shown}, and no line of {settings.known_hosts[0]} is for {self._known_as}",
                hint="compare that fingerprint with the device's own "
                "(there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then run this again with --accept-new",
            )
        remember(settings.known_hosts[0], self._known_as, key.get_name(), blob)
