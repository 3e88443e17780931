from __future__ import annotations

import signal

import pytest

from tap_stripe_conn.interrupts import Interrupted, Interrupts, to_its_end


@pytest.mark.parametrize(
    ("signum", "exit_code", "name"),
    [(signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")],
)
def test_a_signal_stops_the_run_at_once(signum: int, exit_code: int, name: str) -> None:
    with pytest.raises(Interrupted) as raised:
        Interrupts().arrive(signum)
    assert (raised.value.exit_code, str(raised.value)) == (exit_code, name)


def test_an_interruption_is_no_error_that_a_retry_could_catch() -> None:
    assert not issubclass(Interrupted, Exception)


def test_a_signal_during_a_message_waits_until_the_message_is_written() -> None:
    interrupts = Interrupts()
    written: list[str] = []
    with pytest.raises(Interrupted) as raised:
        write(interrupts, signal.SIGTERM, written)
    assert written == ["the first half", "the second half"]
    assert raised.value.signum == signal.SIGTERM


def test_a_second_signal_during_a_message_does_not_wait() -> None:
    interrupts = Interrupts()
    written: list[str] = []
    with pytest.raises(Interrupted):
        write(interrupts, signal.SIGINT, written, again=True)
    assert written == ["the first half"]


def test_messages_without_a_signal_are_written_undisturbed() -> None:
    interrupts = Interrupts()
    with interrupts.held():
        pass
    with interrupts.held():
        pass


def test_after_a_message_signals_are_no_longer_held_back() -> None:
    interrupts = Interrupts()
    with interrupts.held():
        pass
    with pytest.raises(Interrupted):
        interrupts.arrive(signal.SIGINT)


def test_a_signal_is_acted_on_once() -> None:
    interrupts = Interrupts()
    with pytest.raises(Interrupted), interrupts.held():
        interrupts.arrive(signal.SIGTERM)
    with interrupts.held():
        pass


def test_a_message_that_fails_says_so_rather_than_that_it_was_interrupted() -> None:
    interrupts = Interrupts()
    with pytest.raises(BrokenPipeError):
        fail_to_write(interrupts, signal.SIGTERM)
    with pytest.raises(Interrupted), interrupts.held():
        pass


def write(interrupts: Interrupts, signum: int, written: list[str], *, again: bool = False) -> None:
    """Write a message in the middle of which a signal arrives."""
    with interrupts.held():
        written.append("the first half")
        interrupts.arrive(signum)
        if again:
            interrupts.arrive(signum)
        written.append("the second half")


def fail_to_write(interrupts: Interrupts, signum: int) -> None:
    with interrupts.held():
        interrupts.arrive(signum)
        raise BrokenPipeError


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_wait_for_the_end_of_what_must_be_whole(signum: signal.Signals) -> None:
    interrupts = Interrupts()
    signal.signal(signum, lambda number, _: interrupts.arrive(number))
    done = []

    def call() -> None:
        for _ in range(3):
            signal.raise_signal(signum)
        done.append(True)

    with pytest.raises(Interrupted) as raised:
        to_its_end(call)
    assert done == [True]
    assert raised.value.signum == signum
    with pytest.raises(Interrupted):
        signal.raise_signal(signum)


def test_what_must_be_whole_gives_its_result_or_its_error() -> None:
    assert to_its_end(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        to_its_end(lambda: 1 / 0)
