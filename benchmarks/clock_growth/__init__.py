"""How stamps grow with the number of services: ours beside the algorithms of the literature, on the same history.

`python -m benchmarks.clock_growth` runs the real engine and the real encoder in virtual time: no process, no
network. A *cell* is one number of services, workload, rate and handler time. In each cell a plan (`workload`) says
who sends what to whom and when; `world` carries it out with one engine for each service, once for each *variant* of
ours. The variant of process scope in exact mode also writes the history down, and the algorithms in `algorithms`
are run on it, so all of them see the same sends and deliveries. What comes out is bytes of metadata, waiting,
control messages and state; nothing here is a time of this machine.

Whatever claims to be exact is checked in the same run by an oracle that knows happened-before as sets (`oracle`).
One violation, and the run says nothing.
"""
