"""Put a gate's summary on its pull request: one comment for each contract, found again by a mark that nobody sees.

Usage: python scripts/github/comment.py FOLDER WORDS        (called by action.yml)

WORDS tell this comment from those of other gates: the contracts and targets. Reads $GITHUB_API_URL, $GITHUB_REPOSITORY,
$NUMBER (of the pull request) and $GH_TOKEN. A token that may only read, as pull requests from forks have it, is no
failure: the summary is on the run's page too.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LIMIT_CHARACTERS = 65_536
"""Of a comment's text."""
_PAGE = 100
_MOST_PAGES = 30
_TIMEOUT_S = 30.0
_NOT_ALLOWED = (401, 403, 404)


def mark(words: str) -> str:
    """Return the mark of a comment: a hash, so that no path can end the HTML comment that it is in."""
    return f"<!-- edgedeploy gate {hashlib.sha256(words.encode()).hexdigest()[:16]} -->"


def body(summary: str, words: str) -> str:
    """Return the comment's text, cut where it is too long for one."""
    text = f"{mark(words)}\n{summary}"
    if len(text) <= LIMIT_CHARACTERS:
        return text
    end = "\n\n… The rest is in the summary of the run.\n"
    return text[: LIMIT_CHARACTERS - len(end)] + end


def put(summary: str, words: str) -> str:
    """Change the comment that has the mark, or make it.

    Returns:
        Its address.

    Raises:
        urllib.error.HTTPError: GitHub refuses.
    """
    issues = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    address, method = f"{issues}/{os.environ['NUMBER']}/comments", "POST"
    found = next((each for each in _comments(address) if str(each.get("body", "")).startswith(mark(words))), None)
    if found is not None:
        address, method = f"{issues}/comments/{found['id']}", "PATCH"
    return str(_asked(address, method, {"body": body(summary, words)})["html_url"])


def _comments(address: str) -> Iterator[dict[str, Any]]:
    for page in range(1, _MOST_PAGES + 1):
        found = _asked(f"{address}?per_page={_PAGE}&page={page}")
        yield from found
        if len(found) < _PAGE:
            return


def _asked(address: str, method: str = "GET", content: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(
        address,
        method=method,
        data=None if content is None else json.dumps(content).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GH_TOKEN']}",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        return json.load(answer)


def main() -> None:
    folder, words = Path(sys.argv[1]), sys.argv[2]
    summary = folder / "summary.md"
    if not summary.exists():
        print("there is no summary to comment with")
        return
    try:
        print(put(summary.read_text(encoding="utf-8"), words))
    except urllib.error.HTTPError as error:
        if error.code not in _NOT_ALLOWED:
            raise
        print(
            f"::notice::no comment: the token may not write to this pull request (HTTP {error.code}). "
            "That is so for pull requests from forks, and where the job has no `pull-requests: write`."
        )


if __name__ == "__main__":
    main()
