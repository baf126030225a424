"""Stream samples to a device while it computes on those before."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable

from edgedeploy.datasets.dataset import Sample
from edgedeploy.measure.messages import Arrays
from edgedeploy.measure.protocol import Conversation

SAMPLES_AHEAD = 4
"""Requests without an answer: a slow link then costs its bandwidth, not a round trip for each sample. It also bounds
the memory."""


class _Ended:
    """After the last sample, with what ended them early."""

    def __init__(self, failure: BaseException | None) -> None:
        self.failure = failure


def stream(talk: Conversation, samples: Iterable[Sample]) -> Generator[tuple[Sample, Arrays], None, None]:
    """Yield each sample with the arrays that the device answers, in order.

    A thread of its own sends the requests. With one thread, device and host would wait for each other forever when an
    answer and a request are under way that are both larger than the buffers between them.

    Raises:
        DeviceError, UnreachableError: as `Conversation.receive`.
        What iterating over `samples` raises, after the answers to the samples before.
    """
    room = threading.Semaphore(SAMPLES_AHEAD)
    sent: queue.SimpleQueue[Sample | _Ended] = queue.SimpleQueue()
    stopped = threading.Event()

    def send() -> None:
        failure: BaseException | None = None
        try:
            for sample in samples:
                room.acquire()
                if stopped.is_set():
                    return
                sent.put(sample)
                talk.send({"do": "infer"}, sample.feed)
        except BaseException as error:  # raised again below, where somebody can handle it
            failure = error
        finally:
            sent.put(_Ended(failure))

    threading.Thread(target=send, daemon=True).start()
    try:
        while True:
            item = sent.get()
            if isinstance(item, _Ended):
                if item.failure is not None:
                    raise item.failure
                return
            _, arrays = talk.receive()
            room.release()
            yield item, arrays
    finally:
        stopped.set()
        room.release()
