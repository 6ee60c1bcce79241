"""Who guesses passwords has to wait."""

from app.console.login import Throttle


def test_each_failure_beyond_five_doubles_the_wait_up_to_five_minutes() -> None:
    now = [1000.0]
    throttle = Throttle(lambda: now[0])
    waits = []
    for _ in range(15):
        throttle.fail("ada")
        waits.append(throttle.seconds("ada"))
    assert waits[:7] == [0, 0, 0, 0, 2, 4, 8]
    assert waits[-1] == 300
    now[0] += 299
    assert throttle.seconds("ada") == 1
    now[0] += 3600
    assert throttle.seconds("ada") == 0


def test_a_login_clears_the_name_and_not_the_address() -> None:
    throttle = Throttle(lambda: 0.0)
    for _ in range(6):
        throttle.fail("ada", "10.0.0.1")
    throttle.succeed("ada")
    assert throttle.seconds("ada") == 0
    assert throttle.seconds("ada", "10.0.0.1") == 4
    assert throttle.seconds("grace") == 0
