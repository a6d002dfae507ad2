# SPDX-License-Identifier: Apache-2.0
"""When something else had the processors: other programs, kernel threads, the host of a virtual machine.

The kernel's scheduler says so (tracefs, events sched_switch and sched_stat_runtime; root). Its account of a
thread's time leaves out what a host that says so has taken; one that does not say it shows as a tick of a
busy processor that comes late. Costs the watched program under a microsecond a switch.

    with Others(pid) as others:
        ...
    for begin, end in others.spans: ...     # seconds of CLOCK_MONOTONIC; None where the kernel does not tell
"""

import os
import pathlib
import re

TRACEFS = pathlib.Path("/sys/kernel/tracing/instances")
TICK_S = 1 / 250  # the longest between two of a busy processor
LEAST_S = 50e-6   # shorter holds are the account's own error
LINE = re.compile(r".+-(\d+)\s+\[(\d+)\] \S+\s+([\d.]+): (\w+): (.*)")
IDLE = 0


class Others:
    def __init__(self, pid):
        self.pid = pid
        self.spans = None

    def __enter__(self):
        self.trace = None
        try:
            TRACEFS.joinpath(name := f"weir-bench-{os.getpid()}").mkdir()
            self.trace = TRACEFS / name
            self._write("trace_clock", "mono")
            self._write("buffer_size_kb", "65536")
            for event in ("sched_switch", "sched_stat_runtime"):
                self._write(f"events/sched/{event}/enable", "1")
        except OSError:
            self._remove()
        return self

    def __exit__(self, *_):
        if self.trace:
            self._write("tracing_on", "0")
            ours = {int(task) for task in os.listdir(f"/proc/{self.pid}/task")}
            with (self.trace / "trace").open() as lines:
                self.spans = spans_of(lines, ours)
            self._remove()

    def _write(self, file, text):
        (self.trace / file).write_text(text)

    def _remove(self):
        if self.trace:
            self._write("events/enable", "0")
            self.trace.rmdir()
            self.trace = None


class Processor:
    """One processor's story, event by event."""

    def __init__(self):
        self.thread, self.since, self.seen = IDLE, 0, 0


def spans_of(lines, ours):
    """[(begin, end)] in which a processor had a thread that is not one of `ours`, or was held by the host."""
    spans, processors, updated = [], {}, {}

    def leave(p, at):
        if p.thread != IDLE and p.thread not in ours:
            spans.append((p.since, at))

    for line in lines:
        if not (m := LINE.match(line)):
            continue
        current, at, event, rest = int(m[1]), float(m[3]), m[4], m[5]
        p = processors.setdefault(m[2], Processor())
        late = at - p.seen - TICK_S if p.thread != IDLE else 0
        if event == "sched_stat_runtime":
            thread, ran = (int(n) for n in re.search(r"pid=(\d+) runtime=(\d+)", rest).groups())
            ran /= 1e9
            held = at - updated.get(thread, at - ran) - ran
            if held > LEAST_S:
                spans.append((at - held, at))
                late -= held
            updated[thread] = at
            if thread == current and p.thread != thread:  # the kernel does not tell of every end of idling
                leave(p, at - ran)
                p.thread, p.since, late = thread, at - ran, 0
        else:
            before, after = (int(n) for n in re.search(r"prev_pid=(\d+) .*next_pid=(\d+)", rest).groups())
            leave(p, at)
            updated.pop(before, None)
            updated[after] = at
            p.thread, p.since = after, at
        if late > LEAST_S:
            spans.append((at - late, at))
        p.seen = at
    return sorted(spans)


def taken_s(spans, begin, end):
    """How much of begin to end they took together, on all processors."""
    return sum(max(0, min(end, e) - max(begin, b)) for b, e in spans)
