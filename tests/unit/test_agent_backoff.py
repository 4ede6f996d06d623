from agent.backoff import Backoff, doubled, next_backoff, restart_time


def test_the_first_restart_is_at_once():
    assert restart_time(None, 1000.0) == 1000.0


def test_delays_double_from_ten_seconds_to_five_minutes():
    backoff, delays, now = None, [], 1000.0
    for _ in range(8):
        now = restart_time(backoff, now)
        backoff = next_backoff(backoff, now, now)
        delays.append(backoff.delay_seconds)
    assert delays == [10, 20, 40, 80, 160, 300, 300, 300]


def test_the_delay_counts_from_the_end_of_the_container():
    assert restart_time(Backoff(40.0, 1000.0), 1005.0) == 1045.0


def test_ten_minutes_of_running_start_over():
    backoff = Backoff(300.0, 1000.0)
    assert restart_time(backoff, 1601.0) == 1601.0
    assert next_backoff(backoff, 1601.0, 1601.0) == Backoff(10.0, 1601.0)
    assert restart_time(backoff, 1599.0) == 1899.0


def test_doubled_starts_with_the_first_and_stops_at_the_longest():
    assert doubled(0.0, 10.0, 300.0) == 10.0
    assert doubled(10.0, 10.0, 300.0) == 20.0
    assert doubled(200.0, 10.0, 300.0) == 300.0
