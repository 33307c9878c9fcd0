"""CUDA graphs: what is done again and again over the same memory is recorded once and replayed without Python."""

import logging
from collections.abc import Callable

import torch

log = logging.getLogger(__name__)

WARM_UP = 3  # real calls before the recording, in which torch and its libraries set up what cannot be recorded


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Recorded:
    """A function without arguments whose work is the same GPU kernels on the same memory every time.

    What cannot be recorded (it waits for the device, say) goes on to be called as it is, and a warning says so.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream()  # one, since memory that was used on a stream is kept for it

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
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self.function()
        torch.cuda.current_stream().wait_stream(self.stream)

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.function()  # records, and computes nothing
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            torch.cuda.synchronize()
            said = str(error).partition("\n")[0]
            log.warning("warning: the steps cannot be recorded as a CUDA graph (%s); they go on one by one", said)
            self.function()
            return
        self.graph = graph
        graph.replay()
