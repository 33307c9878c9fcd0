"""CUDA graphs: what is done again and again over the same memory is recorded once and replayed without Python."""

import logging
from collections.abc import Callable

import torch

log = logging.getLogger(__name__)

WARM_UP = 3  # real calls before the recording, in which torch and its libraries set up what cannot be recorded


class Recorded:
    """A function without arguments whose work is the same GPU kernels on the same memory every time.

    What cannot be recorded (it waits for the device, say) goes on to be called as it is, and a warning says so.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Do the work once."""
        if self.graph is not None:
            self.graph.replay()
            return
        if self.calls < WARM_UP:
            self._beside()
        elif self.calls == WARM_UP:
            self._record()
        else:
            self.function()
        self.calls += 1

    def _beside(self) -> None:
        """A call on a stream of its own, as recording asks for."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.function()
        torch.cuda.current_stream().wait_stream(stream)

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.function()  # records, and computes nothing
        except RuntimeError as error:
            torch.cuda.synchronize()
            said = str(error).partition("\n")[0]
            log.warning("warning: the steps cannot be recorded as a CUDA graph (%s); they go on one by one", said)
            self.function()
            return
        self.graph = graph
        graph.replay()
