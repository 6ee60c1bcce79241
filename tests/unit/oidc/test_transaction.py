"""A sign-in under way."""

from app.oidc.transaction import Transaction


def test_state_nonce_and_verifier_differ_and_follow_from_the_secret() -> None:
    first, second = Transaction.begin(), Transaction.begin()
    values = [value for each in (first, second) for value in (each.secret, each.state, each.nonce, each.verifier)]
    assert len(set(values)) == 8
    again = Transaction(first.secret)
    assert [again.state, again.nonce, again.verifier] == [first.state, first.nonce, first.verifier]
    assert 43 <= len(first.verifier) <= 128  # RFC 7636, 4.1
