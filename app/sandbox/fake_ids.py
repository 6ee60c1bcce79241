"""Fake ids with correct check digits, from ranges that are reserved for tests or fiction, or never assigned."""

from random import Random


def personal_number(random: Random, year: int | None = None) -> str:
    """Return a personnummer, one in thirty a samordningsnummer; serials from 980 up are reserved for tests."""
    year = random.randint(1950, 2000) if year is None else year
    month, day = random.randint(1, 12), random.randint(1, 28)
    if random.random() < 1 / 30:
        day += 60
    ten = _with_check_digit(f"{year % 100:02}{month:02}{day:02}{random.randint(980, 999)}")
    return f"{year}{ten[2:6]}-{ten[6:]}"


def company_number(random: Random, form: str) -> str:
    """Return an organisationsnummer: with a hyphen, without, or with the prefix 16.

    Numbers of limited companies (AB) begin at 556, those of partnerships (HB, KB) with 916 or 969. Below and between
    them no number is assigned.
    """
    series = random.randint(552, 554) if form == "AB" else random.randint(962, 966)
    ten = _with_check_digit(f"{series}{random.randint(0, 999_999):06}")
    (number,) = random.choices((f"{ten[:6]}-{ten[6:]}", ten, f"16{ten}"), (8, 3, 1))
    return number


def telephone(random: Random) -> str:
    """Return a mobile number that Sweden reserves for fiction: 070-174 06 05 to 99."""
    return f"+467017406{random.randint(5, 99):02}"


def iban(random: Random) -> str:
    """Return a German IBAN with correct check digits; no range is reserved for tests, so the account may exist."""
    account = f"11010100{random.randint(0, 10**10 - 1):010}"
    return f"DE{98 - int(f'{account}131400') % 97:02}{account}"  # 13, 14 and 00 stand for DE and empty check digits


def _with_check_digit(nine: str) -> str:
    """Append the check digit of Swedish ten-digit numbers (Luhn)."""
    total = sum(sum(divmod(int(digit) * (2 - index % 2), 10)) for index, digit in enumerate(nine))
    return nine + str(-total % 10)
