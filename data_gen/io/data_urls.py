"""Files inside a page: data URLs (RFC 2397)."""

import base64


def data_url(data: bytes, media_type: str) -> str:
    """The bytes of a file, as `image/png`, in the form that an `src` or `href` takes."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
