"""Read the user's and the system's configuration of SSH as OpenSSH does: which options hold for a host.

Source: ssh_config(5); readconf.c.

By hand: paramiko's reader knows no `Include`, no comment behind a value, no `Match host=NAME`, and judges every
`Match host` again with the final name, also where nothing asked for a final pass.
"""

from __future__ import annotations

import getpass
import glob
import ipaddress
import re
import socket
from pathlib import Path

from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.reading import SSH_TEXT, read_text

READ_OPTIONS = (
    *("canonicaldomains", "canonicalizefallbacklocal", "canonicalizehostname", "canonicalizemaxdots"),
    *("certificatefile", "ciphers", "connecttimeout", "globalknownhostsfile", "hostkeyalgorithms", "hostkeyalias"),
    *("hostname", "identitiesonly", "identityfile", "kexalgorithms", "knownhostscommand", "macs", "pkcs11provider"),
    *("port", "proxycommand", "proxyjump", "pubkeyacceptedalgorithms", "revokedhostkeys", "securitykeyprovider"),
    *("user", "userknownhostsfile"),
)
_FORMER_NAMES = {"pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms"}
_ADD_UP = ("identityfile", "certificatefile")
_NOT_JUDGED = ("exec", "localnetwork", "tagged", "command", "version", "sessiontype")
_WITHOUT_VALUE = ("all", "canonical", "final")
_MOST_INCLUDES = 16
"""Files within files, as in OpenSSH: more are a circle."""
_CRITERION = re.compile(r"(?P<not>!?)(?P<name>\w+)(?:=(?P<value>.*))?", re.DOTALL)


class ConfigFile:
    """The options that hold for one host: the first value of each, and every `IdentityFile` and `CertificateFile`.

    Args:
        paths: the user's file, then the system's; those that are missing are empty ones.

    Raises:
        InvalidFileError: a file cannot be read, or has a mistake.
        ValueError: what they say of the host's full name cannot be.
        UnsupportedError: an option of the host depends on what edgedeploy does not judge.
    """

    def __init__(self, paths: tuple[Path, ...], host: str, given: dict[str, list[str]]) -> None:
        self.options = dict(given)
        """By name in lower case, the words of the value, as they stand there."""
        self._original = self._host = host
        self._final = False
        self._asks_for_final = False
        self._paths = paths
        self._read_all()
        canonical = self._canonical()
        if self._asks_for_final or canonical is not None:
            self._host = canonical or self.hostname
            self.options["hostname"] = [self._host.replace("%", "%%")]
            self._final = True
            self._read_all()

    @property
    def hostname(self) -> str:
        """The name to connect to."""
        words = self.options.get("hostname")
        if not words:
            return self._host
        return re.sub(r"%(.?)", lambda token: {"h": self._host, "%": "%"}.get(token[1], token[0]), words[0])

    def value(self, name: str, otherwise: str = "") -> str:
        """Return an option that has one word."""
        return (self.options.get(name) or [otherwise])[0]

    def _read_all(self) -> None:
        for path in self._paths:
            # What it includes lies beside it.
            self._folder = path.parent
            try:
                if path.is_file():
                    self._read(path, depth=0, active=True)
            except (OSError, ValueError) as error:
                raise unreadable_config(path, error) from error

    def _read(self, path: Path, *, depth: int, active: bool | str) -> None:
        """Read a file. `active` may be the criterion that is not judged, on which the lines depend."""
        if depth > _MOST_INCLUDES:
            raise ValueError(f"{path} is included in a circle")
        within = active
        for line in read_text(path, SSH_TEXT).splitlines():
            found = re.match(r'\s*"?(\w+)"?(?:\s*=\s*|\s+|$)(.*)', line.split("\0", 1)[0].rstrip())
            if found is None:
                if line.strip() and not line.lstrip().startswith("#"):
                    raise ValueError(f"this line is no option: {line.strip()}")
                continue
            keyword, words = found[1].lower(), split_words(found[2])
            keyword = _FORMER_NAMES.get(keyword, keyword)
            if not words:
                raise ValueError(f"{found[1]} has no value")
            if keyword == "host":
                active = within and matches_any(words, self._host) and within
            elif keyword == "match":
                judged = self._match(words)
                active = within and judged and (within if judged is True else judged)
            elif keyword == "include":
                for name in (name for word in words for name in _included(word, self._folder)):
                    self._read(name, depth=depth + 1, active=active)
            elif active and keyword in READ_OPTIONS:
                self._set(keyword, words, active)

    def _set(self, name: str, words: list[str], active: bool | str) -> None:
        # Of these two, the one that comes first is taken.
        taken = name in self.options or (name.startswith("proxy") and {"proxyjump", "proxycommand"} & set(self.options))
        if taken and (name not in _ADD_UP or words[0] in self.options[name]):
            return
        if isinstance(active, str):
            raise UnsupportedError(
                f"the configuration of SSH has a block for {self._original} that depends on `Match {active}`",
                why="edgedeploy does not judge this criterion",
                hint=f"write the settings of {self._original} into a block of its own: Host {self._original}",
            )
        if name in _ADD_UP:
            self.options.setdefault(name, []).append(words[0])
        else:
            self.options[name] = words

    def _match(self, words: list[str]) -> bool | str:
        """Judge a `Match` line. A criterion that is not judged counts only where all others hold."""
        rest = list(words)
        result, not_judged = True, ""
        while rest:
            found = _CRITERION.fullmatch(rest.pop(0))
            if found is None:
                raise ValueError(f"this is no criterion of Match: {' '.join(words)}")
            name, value = found["name"].lower(), found["value"]
            if name in _WITHOUT_VALUE:
                self._asks_for_final |= name == "final"
                holds = name == "all" or self._final
            else:
                if not value and rest and rest[0].startswith("="):
                    rest[0] = rest[0].removeprefix("=")
                    rest = rest if rest[0] else rest[1:]
                value = value or (rest.pop(0) if rest else "")
                if not value:
                    raise ValueError(f"Match {name} has no value")
                if name in _NOT_JUDGED:
                    not_judged = not_judged or name
                    continue
                holds = matches_any(value.split(","), self._subject(name))
            result &= holds != bool(found["not"])
        return (not_judged or True) if result else False

    def _subject(self, criterion: str) -> str:
        match criterion:
            case "host":
                return self.hostname
            case "originalhost":
                return self._original
            case "user":
                return self.value("user", getpass.getuser())
            case "localuser":
                return getpass.getuser()
        raise ValueError(f"Match {criterion}: there is no such criterion")

    def _canonical(self) -> str | None:
        """Return the host's full name, where CanonicalizeHostname asks for it; None where it does not."""
        if self.value("canonicalizehostname", "no").lower() not in ("yes", "true", "always"):
            return None
        name = self.hostname
        if name.count(".") > int(self.value("canonicalizemaxdots", "1")) or _is_address(name):
            return name
        for domain in self.options.get("canonicaldomains", []):
            try:
                socket.getaddrinfo(f"{name}.{domain}", None)
            except (OSError, UnicodeError):
                continue
            return f"{name}.{domain}".lower()
        if self.value("canonicalizefallbacklocal", "yes").lower() in ("no", "false"):
            raise ValueError(f"{name} is in none of the CanonicalDomains, and CanonicalizeFallbackLocal is no")
        return name


def unreadable_config(path: Path, error: Exception) -> InvalidFileError:
    """Return the error for a configuration that is not what OpenSSH reads."""
    return InvalidFileError(f"{path} cannot be read as SSH's configuration", why=str(error))


def split_words(text: str) -> list[str]:
    """Split a value as OpenSSH does (argv_split in misc.c): quotes, backslashes, and a comment that ends it.

    Raises:
        ValueError: a quote is not closed.
    """
    words: list[str] = []
    place = 0
    while place < len(text):
        if text[place] in " \t":
            place += 1
            continue
        if text[place] == "#":
            break
        quote, word = "", ""
        while place < len(text) and (quote or text[place] not in " \t"):
            character, after = text[place], text[place + 1 : place + 2]
            if character == "\\" and after and (after in "\"'\\" or (after == " " and not quote)):
                word += after
                place += 1
            elif character == quote:
                quote = ""
            elif not quote and character in "\"'":
                quote = character
            else:
                word += character
            place += 1
        if quote:
            raise ValueError(f"a quote is not closed: {text}")
        words.append(word)
    return words


def matches_any(patterns: list[str], name: str) -> bool:
    """Tell whether a name is matched by a list of patterns (ssh_config(5), PATTERNS) and by none with `!`."""
    matched = False
    for pattern in patterns:
        wanted = pattern.removeprefix("!")
        regex = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in wanted)
        if re.fullmatch(regex, name, re.DOTALL):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _included(pattern: str, folder: Path) -> list[Path]:
    try:
        expanded = Path(pattern).expanduser()
    except RuntimeError:  # ~somebody whom this machine does not know: no such file
        return []
    return [Path(name) for name in sorted(glob.glob(str(folder / expanded)))]  # noqa: PTH207 (absolute too)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
