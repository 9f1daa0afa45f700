"""Arrays, PIL images and matplotlib figures → picture files. Uses libraries that the user has, and imports them only when
called; knows no run and no store.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from ml_dash.errors import InvalidInput, InvalidType

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_SHAPES = "expected an array of height × width, or height × width × 1, 3 or 4 channels"
_TYPES = "Expected uint8, or floats from 0 to 1"


def picture(image: Any) -> Image.Image:
    """A PIL image as it is; an array as one. Raises as `Files.save_image`."""
    pil = _pillow("save_image")
    made: Image.Image = image if isinstance(image, pil.Image) else pil.fromarray(_pixels(image))
    return made


def format_of(file_name: str) -> str:
    """Pillow's name of the format that the suffix of `file_name` tells. Raises `InvalidInput`."""
    pil = _pillow("save_image")
    suffix = _suffix(file_name)
    form = pil.registered_extensions().get(f".{suffix.lower()}")
    if form is None or form not in pil.SAVE:
        raise InvalidInput(
            f"file_name {file_name!r}: Pillow writes no format {suffix!r}. Use .png, .jpg, .webp, .gif or .tiff."
        )
    return str(form)


def write(image: Image.Image, target: BinaryIO, form: str, file_name: str) -> None:
    """Write `image` to `target` in Pillow's format `form`. Raises `InvalidInput` where the format cannot hold it."""
    try:
        image.save(target, form)
    except (OSError, ValueError) as e:
        if isinstance(e, OSError) and e.errno is not None:
            raise
        raise InvalidInput(f"file_name {file_name!r}: {e}. Use .png, or convert the image first.") from e


def write_figure(figure: Any, target: BinaryIO, file_name: str, options: Mapping[str, Any]) -> None:
    """Write a matplotlib figure to `target`; `options` are `Figure.savefig`'s. Raises as `Files.save_fig`."""
    if not callable(getattr(figure, "savefig", None)):
        raise _no_figure(figure)
    form = options.get("format") or _suffix(file_name)
    try:
        figure.savefig(target, **{**options, "format": form})
    except ValueError as e:
        raise InvalidInput(f"file_name {file_name!r}: {e}") from e


def _no_figure(figure: Any) -> Exception:
    try:
        import matplotlib as mpl  # noqa: F401  whether it is there
    except ImportError:
        return _missing("save_fig", "matplotlib")
    hint = "Pass its .figure." if hasattr(figure, "figure") else "Pass what plt.figure() or plt.gcf() returns."
    return InvalidType(f"figure: expected a matplotlib figure; got {type(figure).__name__}. {hint}")


def _pixels(image: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    if hasattr(image, "detach"):  # a torch tensor, perhaps on a GPU
        image = image.detach().cpu()
    array = np.asarray(image)
    if not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = " Its channels come first: use transpose(1, 2, 0)." if first else ""
        raise InvalidInput(f"image: {_SHAPES}; got {_what(image, array)}.{hint}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return np.ascontiguousarray(_bytes(image, array))


def _bytes(image: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidInput(
            f"image: {_TYPES}; got {_what(image, array)}. Use .astype('uint8') if its values are from 0 to 255."
        )
    least, most = array.min(), array.max()
    if not (least >= 0 and most <= 1):  # also for NaN
        raise InvalidInput(
            f"image: {_TYPES}; got floats from {least:g} to {most:g}. Scale them: (a - a.min()) / (a.max() - a.min())."
        )
    scaled: np.ndarray[Any, Any] = np.rint(array * 255).astype(np.uint8)
    return scaled


def _what(image: Any, array: np.ndarray[Any, Any]) -> str:
    return f"{type(image).__name__} of shape {array.shape} and type {array.dtype}"


def _suffix(file_name: str) -> str:
    suffix = os.path.splitext(file_name)[1]
    if len(suffix) < 2:
        raise InvalidInput(
            f"file_name {file_name!r} has no suffix that tells the format. Write for example '{file_name}.png'."
        )
    return suffix[1:]


def _pillow(call: str) -> Any:
    try:
        from PIL import Image
    except ImportError as e:
        raise _missing(call, "Pillow") from e
    return Image


def _missing(call: str, library: str) -> ImportError:
    return ImportError(f"{call}() needs {library}: pip install 'ml-dash[images]'")
