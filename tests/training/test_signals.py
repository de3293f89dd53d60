"""A training is asked to stop, and stops where it can go on from."""

import os
import signal
import threading

import pytest

from warehouse_classifier.training.signals import stoppable


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_waits_for_a_point_to_stop_at_and_a_second_does_not(sent: signal.Signals) -> None:
    before = signal.getsignal(sent)
    with stoppable() as asked:
        assert not asked()
        os.kill(os.getpid(), sent)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), sent)
    assert signal.getsignal(sent) == before


def test_a_thread_can_hold_no_signal_back() -> None:
    lines = []

    def work() -> None:
        with stoppable() as asked:
            lines.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert lines == [False]
