"""The receiver's end of the links of a simulated node: whoever dials it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from causal.errors import CausalError, ClockDriftError
from causal.ordering.dot import NodeId
from causal.ordering.engine import Engine
from causal.ordering.frames import (
    Hello,
    ReceiverFrame,
    Refusal,
    RefusalCode,
    SenderFrame,
    SenderToReceiver,
    Welcome,
)
from causal.ordering.output import Output
from causal.testing.figures import Figures
from causal.testing.history import History
from causal.testing.network import MS, Network, Stream
from causal.testing.work import Soon


class InboundStreams:
    """The streams of the senders that one run of one node has welcomed: at most one each, the newest."""

    def __init__(
        self,
        engine: Engine,
        place: str,
        network: Network,
        history: History,
        figures: Figures,
        now_ms: Callable[[], int],
        soon: Soon,
        take: Callable[[Output], None],
        protest: Callable[[Stream, CausalError], None],
    ) -> None:
        self._engine = engine
        self._place = place
        self._network = network
        self._history = history
        self._figures = figures
        self._now_ms = now_ms
        self._soon = soon
        self._take = take
        self._protest = protest
        self._live: dict[NodeId, Stream] = {}
        self._pumping: set[NodeId] = set()

    def heard(self, stream: Stream, frame: SenderToReceiver) -> None:
        """A sender says something."""
        origin = stream.origin
        assert origin is not None
        if isinstance(frame, Hello):
            self._greeted(stream, frame)
        elif self._live.get(origin) is stream:
            self._arrived(stream, origin, frame)

    def ended(self, stream: Stream) -> None:
        """A stream is broken; one that was replaced is nobody's any more."""
        if stream.origin is not None and self._live.get(stream.origin) is stream:
            del self._live[stream.origin]
            self._engine.hung_up(stream.origin)

    def break_all(self) -> None:
        """This node has another incarnation: who dialled the former one must dial again."""
        for stream in self._live.values():
            stream.tear()
        self._live.clear()

    def pump(self, origins: Iterable[NodeId]) -> None:
        """There is something to tell these senders: soon, so that it becomes few frames."""
        for origin in sorted(origins):
            if origin not in self._pumping:
                self._pumping.add(origin)
                self._soon(self._network.random.randrange(2 * MS), self._pump_up, origin)

    def beat(self) -> None:
        """Tell every sender what there is, and that this node is there."""
        for origin in list(self._live):
            report = self._engine.report(origin, heartbeat=True)
            if report is not None:
                self._send_up(origin, report)

    def _greeted(self, stream: Stream, hello: Hello) -> None:
        answer, output = self._engine.greeted(hello, self._now_ms())
        if isinstance(answer, Welcome):
            self._history.heard(self._place, hello.sender)
            self._history.met(hello.sender, stream.sender.place)
            former = self._live.get(hello.sender)
            self._live[hello.sender] = stream
            if former is not None:
                former.tear()
            for origin in [o for o in self._live if o.name == hello.sender.name and o != hello.sender]:
                self._live.pop(origin).tear()
        stream.up(answer)
        if isinstance(answer, Refusal):
            stream.tear(gently=True)
        self._take(output)

    def hang_up_on(self, sender: NodeId) -> None:
        """This sender has been evicted."""
        stream = self._live.pop(sender, None)
        if stream is not None:
            stream.tear()

    def _arrived(self, stream: Stream, origin: NodeId, frame: SenderFrame) -> None:
        link = self._engine.settlement.inbound.get(origin)
        if link is None:  # it is gone, and another frame of it was on its way
            return
        self._figures.arriving(self._engine, origin, frame)
        starts = frame.base if not link.based else None
        try:
            output = self._engine.arrived(origin, frame, self._now_ms())
        except ClockDriftError as error:
            self._network.tally["clock drift"] += 1
            self._hang_up(stream, origin, Refusal(code=RefusalCode.CLOCK_DRIFT, detail=str(error)))
            return
        except CausalError as error:
            self._protest(stream, error)
            self._hang_up(stream, origin, Refusal(code=RefusalCode.PROTOCOL, detail=str(error)))
            return
        if starts is not None:
            self._history.stated(self._place, origin, starts.last, starts.unsettled, stream.sender.place)
        self._figures.arrived(self._engine, frame)
        self._take(output)

    def _hang_up(self, stream: Stream, origin: NodeId, refusal: Refusal) -> None:
        del self._live[origin]
        self._engine.hung_up(origin)
        stream.up(refusal)
        stream.tear(gently=True)

    def _pump_up(self, origin: NodeId) -> None:
        self._pumping.discard(origin)
        if origin in self._live and (frame := self._engine.report(origin)) is not None:
            self._send_up(origin, frame)

    def _send_up(self, origin: NodeId, frame: ReceiverFrame) -> None:
        self._figures.frame_up(origin, frame)
        self._live[origin].up(frame)
