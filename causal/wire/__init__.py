"""The frames of a link as bytes: protobuf, generated in `causal.wire.v1`, with rows of MessagePack inside.

`protos/causal/wire/v1/frames.proto` is the specification; `causal.wire.codec` speaks it. A codec belongs to
one direction of one stream and dies with it, since it holds the stream's tables. Whatever arrives is
hostile until it has been decoded: decoding raises `ProtocolError` and nothing else, and allocates in
proportion to the frame, which the transport bounds.
"""
