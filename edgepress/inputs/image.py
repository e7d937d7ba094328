"""Pictures: decode, turn upright, crop, resize, normalise."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgepress.errors import DataError
from edgepress.inputs.figures import check_figures
from edgepress.tensor import TensorSpec

_MOST_PIXELS = 1 << 27
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_SIXTEEN_BIT_FORMATS = ("PNG", "PPM")  # which some versions of Pillow open as 32 bits


@dataclass(frozen=True)
class ImageInput:
    """A picture becomes ``(pixel - mean) / std`` with pixels from 0 to 255.

    Attributes:
        mean, std: one figure a channel, in pixel units; a single figure serves every channel.
        crop: with ``fit = "crop"``, the share of the short side that the centre crop keeps.
        fit: ``crop`` (centre square crop of the tensor's proportions), ``stretch`` or ``pad``
            (keep proportions, fill with ``mean``).
        resample: the filter, as Pillow names it.
        layout: ``NCHW`` or ``NHWC``.
        colour: ``RGB``, ``BGR`` or ``L`` (grey).
    """

    kind: Literal["image"] = "image"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    crop: float = 1.0
    fit: Literal["crop", "stretch", "pad"] = "crop"
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    colour: Literal["RGB", "BGR", "L"] = "RGB"

    def __post_init__(self) -> None:
        """Check the figures.

        Raises:
            ValueError: one of them can serve no picture.
        """
        counts = (1,) if self.colour == "L" else (1, 3)
        for name, figures in (("mean", self.mean), ("std", self.std)):
            if len(figures) not in counts:
                raise ValueError(
                    f"{name} has {len(figures)} figures; give {' or '.join(map(str, counts))} for {self.colour}"
                )
        check_figures("mean", self.mean)
        check_figures("std", self.std, divisor=True)
        if not 0 < self.crop <= 1:  # which a NaN is not, either
            raise ValueError(f"crop must be above 0 and at most 1, not {self.crop:g}")

    def from_bytes(self, data: bytes, name: str, tensor: TensorSpec) -> np.ndarray[Any, Any]:
        """Decode a PNG, JPEG, WebP … file and prepare it.

        Raises:
            DataError: the bytes are no picture, one too large to be decoded safely, or one whose numbers
                have no fixed range (32-bit and float TIFF).
        """
        from PIL import Image, ImageOps, UnidentifiedImageError

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                file = Image.open(io.BytesIO(data))
                if file.width * file.height > _MOST_PIXELS:
                    raise DataError(_too_large(name))
                picture = _eight_bits(ImageOps.exif_transpose(file), file.format, name)
                picture = picture.convert("L" if self.colour == "L" else "RGB")
        except UnidentifiedImageError:
            raise DataError(
                f"{name} is no picture that can be decoded; give a JPEG, PNG or WebP file"
            ) from None
        except Image.DecompressionBombError:  # Pillow's own limit, which comes before ours
            raise DataError(_too_large(name)) from None
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{name} is a damaged picture ({error}); give another file") from None
        return self._fit(picture, tensor)

    def from_array(self, array: np.ndarray[Any, Any], tensor: TensorSpec) -> np.ndarray[Any, Any]:
        """Prepare pixels: uint8, height × width (× 1 or 3 channels, RGB).

        Raises:
            DataError: the array is not of that form.
        """
        from PIL import Image

        if (
            array.dtype != np.uint8
            or array.ndim not in (2, 3)
            or (array.ndim == 3 and array.shape[2] not in (1, 3))
        ):
            raise DataError(
                f"an array of {array.dtype} {array.shape} is neither the tensor {tensor.dtype} {tensor.shape} "
                "nor a uint8 picture of height x width x 3"
            )
        pixels = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
        return self._fit(Image.fromarray(pixels).convert("L" if self.colour == "L" else "RGB"), tensor)

    def _fit(self, picture: Any, tensor: TensorSpec) -> np.ndarray[Any, Any]:
        if len(tensor.shape) != 4 or tensor.shape[0] != 1:
            raise DataError(
                f"a picture cannot become the tensor {tensor.name} {tensor.shape}; it must have four axes, batch 1"
            )
        height, width = tensor.shape[2:] if self.layout == "NCHW" else tensor.shape[1:3]
        pixels = self._resize(picture, height, width)
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        if self.colour == "BGR":
            pixels = pixels[:, :, ::-1]
        values = (pixels.astype(np.float32) - np.asarray(self.mean, np.float32)) / np.asarray(
            self.std, np.float32
        )
        if np.issubdtype(tensor.dtype, np.integer):
            limits = np.iinfo(tensor.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        batch = values[None]
        return np.asarray(batch.transpose(0, 3, 1, 2) if self.layout == "NCHW" else batch)

    def _resize(self, picture: Any, height: int, width: int) -> np.ndarray[Any, Any]:
        from PIL import Image

        resample = Image.Resampling[self.resample.upper()]
        if self.fit == "stretch":
            return np.asarray(picture.resize((width, height), resample))
        if self.fit == "crop":
            scale = min(picture.width / width, picture.height / height) * self.crop
            left = (picture.width - width * scale) / 2
            top = (picture.height - height * scale) / 2
            right, bottom = left + width * scale, top + height * scale
            # Of the whole width or height, a last digit may lie outside.
            box = (max(left, 0.0), max(top, 0.0), min(right, picture.width), min(bottom, picture.height))
            return np.asarray(picture.resize((width, height), resample, box=box))
        scale = min(width / picture.width, height / picture.height)
        inner = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        fill = tuple(int(level) for level in np.broadcast_to(np.clip(self.mean, 0, 255), (3,)))
        canvas = Image.new(picture.mode, (width, height), fill[0] if picture.mode == "L" else fill)
        canvas.paste(picture.resize(inner, resample), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return np.asarray(canvas)


def _too_large(name: str) -> str:
    from PIL import Image

    own = Image.MAX_IMAGE_PIXELS  # Pillow warns above it and refuses above twice as many
    most = _MOST_PIXELS if own is None else min(_MOST_PIXELS, 2 * own)
    return f"{name} is too large to be decoded safely; give a picture of at most {most:,} pixels"


def _eight_bits(picture: Any, form: str | None, name: str) -> Any:
    """Scale 16 bits to 8, where Pillow's own conversion would cut everything above 255 to white.

    Raises:
        DataError: the numbers have no fixed range that could be scaled.
    """
    from PIL import Image

    if picture.mode in _SIXTEEN_BITS or (picture.mode == "I" and form in _SIXTEEN_BIT_FORMATS):
        levels = np.rint(np.asarray(picture).astype(np.float32) / 257)
        return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
    if picture.mode in ("I", "F"):
        kind = "32-bit whole" if picture.mode == "I" else "float"
        raise DataError(
            f"{name} holds {kind} numbers, whose range a file does not tell; save it with 8 or 16 bits a channel"
        )
    return picture
