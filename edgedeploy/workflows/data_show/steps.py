"""A declared preprocessing in words, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import NODEFAULT, structs

from edgedeploy.values.preprocessing import ImagePreprocessing, Preprocessing


def in_words(preprocessing: Preprocessing | None) -> tuple[str, ...]:
    """Return the steps in the order in which they are done; empty where there are none."""
    if preprocessing is None:
        return ()
    if isinstance(preprocessing, ImagePreprocessing):
        return tuple(_of_picture(preprocessing))
    # Of recordings, tables and texts: what differs from the defaults. Those of a table are new dicts each time.
    defaults = {
        field.name: field.default if field.default_factory is NODEFAULT else field.default_factory()
        for field in structs.fields(preprocessing)
    }
    changed = {key: value for key, value in structs.asdict(preprocessing).items() if defaults[key] != value}
    return tuple(f"{key} = {value}" for key, value in changed.items()) or ("the defaults",)


def _of_picture(steps: ImagePreprocessing) -> Iterator[str]:
    if steps.preset:
        yield f"preset {steps.preset}"
    yield "turned as EXIF says" if steps.orientation else "not turned, whatever EXIF says"
    yield {"rgb": "red, green, blue", "bgr": "blue, green, red", "gray": "gray"}[steps.color]
    size = "the size of the model's input" if steps.size is None else f"{steps.size[0]} high, {steps.size[1]} wide"
    how = f"{steps.resampling}, {'with' if steps.antialias else 'without'} antialiasing"
    if steps.resize == "stretch":
        yield f"stretched to {size} ({how})"
    elif steps.resize == "shorter-side":
        yield f"shorter side resized to {steps.size[0] if steps.size else 'that of the input'} ({how})"
    elif steps.resize == "letterbox":
        bars = _listed(steps.letterbox_value)
        yield f"letterbox of {size}, bars of {bars}, {'centered' if steps.letterbox_center else 'top left'} ({how})"
    if steps.crop is not None:
        yield f"cropped to the middle: {steps.crop[0]} high, {steps.crop[1]} wide"
    yield f"times {steps.scale:.8g}, minus {_listed(steps.mean)}, divided by {_listed(steps.std)}"
    if steps.layout:
        yield f"layout {steps.layout}"


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
