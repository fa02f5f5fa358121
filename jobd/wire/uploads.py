"""What the daemon says about an uploaded file."""

import msgspec

from jobd.wire.times import Timestamp


class Upload(msgspec.Struct, frozen=True):
    """A file that jobs of its uploader may name as `{"$file": file_id}`."""

    file_id: str
    """`file_` and the SHA-256 of the content in hex."""
    size_bytes: int
    expires_at: Timestamp | None
