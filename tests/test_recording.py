"""Steps as CUDA graphs, with a stand-in for the graphs: what is called, recorded and replayed, and when."""

from contextlib import contextmanager

import pytest
import torch

from avgzsl_bench.recording import WARM_UP, Recorded


class Stream:
    def wait_stream(self, other):
        pass


class Graph:
    """Keeps what was recorded in it and does it again at every replay."""

    def __init__(self):
        self.work = []

    def replay(self):
        for done in self.work:
            done()


class Machine:
    """Numbers of real calls, recordings and replays of one counter."""

    def __init__(self, monkeypatch, refuses=None):
        self.count, self.calls, self.recorded = 0, 0, None

        @contextmanager
        def graph(made):
            if refuses:
                raise refuses
            self.recorded = made
            yield
            self.recorded = None

        @contextmanager
        def stream(chosen):
            yield

        fakes = {"Stream": Stream, "current_stream": Stream, "stream": stream, "CUDAGraph": Graph, "graph": graph}
        for name, fake in {**fakes, "synchronize": lambda: None}.items():
            monkeypatch.setattr(torch.cuda, name, fake)

    def work(self):
        """Counts; on a GPU that records, it would count at a replay only."""
        self.calls += 1
        if self.recorded is None:
            self.add()
        else:
            self.recorded.work.append(self.add)

    def add(self):
        self.count += 1


@pytest.mark.parametrize("times", range(1, WARM_UP + 4))
def test_every_call_is_done_once(monkeypatch, times):
    machine = Machine(monkeypatch)
    step = Recorded(machine.work)
    for _ in range(times):
        step()
    assert machine.count == times
    assert machine.calls == min(times, WARM_UP + 1), "what is recorded is not called any more"


def test_a_full_memory_is_told_to_who_can_make_room(monkeypatch):
    machine = Machine(monkeypatch, refuses=torch.OutOfMemoryError("CUDA out of memory"))
    step = Recorded(machine.work)
    for _ in range(WARM_UP):
        step()
    with pytest.raises(torch.OutOfMemoryError):
        step()
    assert machine.count == WARM_UP


def test_what_cannot_be_recorded_goes_on_as_it_is(monkeypatch, caplog):
    machine = Machine(monkeypatch, refuses=RuntimeError("operation not permitted when stream is capturing\nmore lines"))
    step = Recorded(machine.work)
    for _ in range(WARM_UP + 5):
        step()
    assert machine.count == machine.calls == WARM_UP + 5
    (said,) = caplog.messages
    assert said.startswith("warning: the steps cannot be recorded as a CUDA graph (operation not permitted")
    assert "\n" not in said
