"""The licence of a package, as its authors declare it in the metadata of its wheel.

Metadata is that of https://packaging.python.org/en/latest/specifications/core-metadata/; what is found is named as in
SPDX's list (https://spdx.org/licenses/) where it can be, else in the authors' words.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Sequence
from email.message import Message

from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement, LicenseExpression

License = DisjunctiveLicense | LicenseExpression

_DECLARED = LicenseAcknowledgement.DECLARED

# Classifiers that name one licence; «BSD License» may be any of several.
_CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: MIT No Attribution License (MIT-0)": "MIT-0",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "License :: OSI Approved :: The Unlicense (Unlicense)": "Unlicense",
    "License :: OSI Approved :: zlib/libpng License": "Zlib",
}
# What authors write who wrote before there were such names; the Apache License also whole, as a text.
_WORDS = {
    "apache-2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "bsd-3-clause": "BSD-3-Clause",
    "mit": "MIT",
    "mit license": "MIT",
}
_APACHE = re.compile(r"\s*Apache License\s+Version 2\.0", re.IGNORECASE)
_NAME_LIMIT = 200


def declared_licences(metadata: Message | importlib.metadata.PackageMetadata) -> list[License]:
    """Read the licences of a package from its metadata; empty when it declares none."""
    if expression := _header(metadata, "License-Expression"):
        return [licence_expression(expression)]
    classifiers = [text for text in metadata.get_all("Classifier") or () if text.startswith("License :: ")]
    if known := [_CLASSIFIERS[text] for text in classifiers if text in _CLASSIFIERS]:
        return [spdx_licence(identifier) for identifier in known]
    text = _header(metadata, "License")
    if _APACHE.match(text) or text.strip().lower() in _WORDS:
        return [spdx_licence(_WORDS.get(text.strip().lower(), "Apache-2.0"))]
    names = [classifier.rpartition(" :: ")[2] for classifier in classifiers] or _first_line(text)
    return [DisjunctiveLicense(name=name, acknowledgement=_DECLARED) for name in names]


def installed_licences(package: str) -> list[License] | None:
    """Read the licences of a package that is installed on this machine; None when it is not."""
    try:
        return declared_licences(importlib.metadata.metadata(package))
    except importlib.metadata.PackageNotFoundError:
        return None


def spdx_licence(identifier: str) -> DisjunctiveLicense:
    """Name a licence of SPDX's list."""
    return DisjunctiveLicense(id=identifier, acknowledgement=_DECLARED)


def licence_expression(text: str) -> LicenseExpression:
    """Name licences by an expression of SPDX, e.g. `"MIT AND Zlib"`."""
    return LicenseExpression(text.strip(), acknowledgement=_DECLARED)


def _header(metadata: Message | importlib.metadata.PackageMetadata, name: str) -> str:
    """Read a header; empty when there is none, for which newer Pythons raise an error instead of giving None."""
    values = metadata.get_all(name)
    return str(values[0]) if values else ""


def _first_line(text: str) -> Sequence[str]:
    lines = [line.strip()[:_NAME_LIMIT] for line in text.splitlines() if line.strip()]
    return lines[:1]
