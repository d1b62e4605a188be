from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCOPE_PROCESS: _ClassVar[Scope]
    SCOPE_CONTEXT: _ClassVar[Scope]
SCOPE_PROCESS: Scope
SCOPE_CONTEXT: Scope

class SenderToReceiver(_message.Message):
    __slots__ = ("hello", "frame")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    frame: SenderFrame
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., frame: _Optional[_Union[SenderFrame, _Mapping]] = ...) -> None: ...

class ReceiverToSender(_message.Message):
    __slots__ = ("welcome", "refusal", "frame")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    refusal: Refusal
    frame: ReceiverFrame
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., frame: _Optional[_Union[ReceiverFrame, _Mapping]] = ...) -> None: ...

class Origin(_message.Message):
    __slots__ = ("index", "name", "incarnation", "scope")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    index: int
    name: str
    incarnation: int
    scope: Scope
    def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ..., incarnation: _Optional[int] = ..., scope: _Optional[_Union[Scope, str]] = ...) -> None: ...

class Name(_message.Message):
    __slots__ = ("index", "name")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    index: int
    name: str
    def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("version", "sender", "receiver", "process")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    version: int
    sender: Origin
    receiver: str
    process: int
    def __init__(self, version: _Optional[int] = ..., sender: _Optional[_Union[Origin, _Mapping]] = ..., receiver: _Optional[str] = ..., process: _Optional[int] = ...) -> None: ...

class SenderFrame(_message.Message):
    __slots__ = ("number", "origins", "destinations", "subjects", "base", "copies", "stable", "questions", "past", "farewell", "given_up", "exhaustive", "heard")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ORIGINS_FIELD_NUMBER: _ClassVar[int]
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    PAST_FIELD_NUMBER: _ClassVar[int]
    FAREWELL_FIELD_NUMBER: _ClassVar[int]
    GIVEN_UP_FIELD_NUMBER: _ClassVar[int]
    EXHAUSTIVE_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    number: int
    origins: _containers.RepeatedCompositeFieldContainer[Origin]
    destinations: _containers.RepeatedCompositeFieldContainer[Name]
    subjects: _containers.RepeatedCompositeFieldContainer[Name]
    base: Base
    copies: bytes
    stable: bytes
    questions: _containers.RepeatedScalarFieldContainer[int]
    past: int
    farewell: bool
    given_up: _containers.RepeatedScalarFieldContainer[int]
    exhaustive: bool
    heard: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, number: _Optional[int] = ..., origins: _Optional[_Iterable[_Union[Origin, _Mapping]]] = ..., destinations: _Optional[_Iterable[_Union[Name, _Mapping]]] = ..., subjects: _Optional[_Iterable[_Union[Name, _Mapping]]] = ..., base: _Optional[_Union[Base, _Mapping]] = ..., copies: _Optional[bytes] = ..., stable: _Optional[bytes] = ..., questions: _Optional[_Iterable[int]] = ..., past: _Optional[int] = ..., farewell: bool = ..., given_up: _Optional[_Iterable[int]] = ..., exhaustive: bool = ..., heard: _Optional[_Iterable[int]] = ...) -> None: ...

class Base(_message.Message):
    __slots__ = ("last", "unsettled")
    LAST_FIELD_NUMBER: _ClassVar[int]
    UNSETTLED_FIELD_NUMBER: _ClassVar[int]
    last: int
    unsettled: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, last: _Optional[int] = ..., unsettled: _Optional[_Iterable[int]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("receiver", "known", "received_to", "missing", "beyond", "unsettled", "window_messages", "window_bytes", "process")
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_TO_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    BEYOND_FIELD_NUMBER: _ClassVar[int]
    UNSETTLED_FIELD_NUMBER: _ClassVar[int]
    WINDOW_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    receiver: Origin
    known: bool
    received_to: int
    missing: _containers.RepeatedScalarFieldContainer[int]
    beyond: _containers.RepeatedScalarFieldContainer[int]
    unsettled: _containers.RepeatedScalarFieldContainer[int]
    window_messages: int
    window_bytes: int
    process: int
    def __init__(self, receiver: _Optional[_Union[Origin, _Mapping]] = ..., known: bool = ..., received_to: _Optional[int] = ..., missing: _Optional[_Iterable[int]] = ..., beyond: _Optional[_Iterable[int]] = ..., unsettled: _Optional[_Iterable[int]] = ..., window_messages: _Optional[int] = ..., window_bytes: _Optional[int] = ..., process: _Optional[int] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "detail", "incarnation")
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Refusal.Code]
        STALE_INCARNATION: _ClassVar[Refusal.Code]
        WRONG_RECEIVER: _ClassVar[Refusal.Code]
        OWN_NAME: _ClassVar[Refusal.Code]
        PROTOCOL: _ClassVar[Refusal.Code]
        CLOCK_DRIFT: _ClassVar[Refusal.Code]
        VERSION: _ClassVar[Refusal.Code]
        NAME_TAKEN: _ClassVar[Refusal.Code]
    UNSPECIFIED: Refusal.Code
    STALE_INCARNATION: Refusal.Code
    WRONG_RECEIVER: Refusal.Code
    OWN_NAME: Refusal.Code
    PROTOCOL: Refusal.Code
    CLOCK_DRIFT: Refusal.Code
    VERSION: Refusal.Code
    NAME_TAKEN: Refusal.Code
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    code: Refusal.Code
    detail: str
    incarnation: int
    def __init__(self, code: _Optional[_Union[Refusal.Code, str]] = ..., detail: _Optional[str] = ..., incarnation: _Optional[int] = ...) -> None: ...

class ReceiverFrame(_message.Message):
    __slots__ = ("received", "origins", "settled", "resend", "answers", "watch", "lost", "ask_past")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    ORIGINS_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    RESEND_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    WATCH_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    ASK_PAST_FIELD_NUMBER: _ClassVar[int]
    received: int
    origins: _containers.RepeatedCompositeFieldContainer[Origin]
    settled: _containers.RepeatedScalarFieldContainer[int]
    resend: _containers.RepeatedScalarFieldContainer[int]
    answers: _containers.RepeatedScalarFieldContainer[int]
    watch: _containers.RepeatedScalarFieldContainer[int]
    lost: _containers.RepeatedScalarFieldContainer[int]
    ask_past: int
    def __init__(self, received: _Optional[int] = ..., origins: _Optional[_Iterable[_Union[Origin, _Mapping]]] = ..., settled: _Optional[_Iterable[int]] = ..., resend: _Optional[_Iterable[int]] = ..., answers: _Optional[_Iterable[int]] = ..., watch: _Optional[_Iterable[int]] = ..., lost: _Optional[_Iterable[int]] = ..., ask_past: _Optional[int] = ...) -> None: ...
