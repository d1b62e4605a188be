"""Encoders and decoders of a link's frames, and of one message by itself."""

from __future__ import annotations

from causal.wire.limits import COPY_FORMAT, PROTOCOL_VERSION, TableFullError, VersionError
from causal.wire.receiver import ReceiverDecoder, ReceiverEncoder
from causal.wire.rows import decode_copy, encode_copy
from causal.wire.sender import SenderDecoder, SenderEncoder
from causal.wire.token import decode_token, encode_token

__all__ = [
    "COPY_FORMAT",
    "PROTOCOL_VERSION",
    "ReceiverDecoder",
    "ReceiverEncoder",
    "SenderDecoder",
    "SenderEncoder",
    "TableFullError",
    "VersionError",
    "decode_copy",
    "decode_token",
    "encode_copy",
    "encode_token",
]
