"""Which receipts wait in an inbox: their ids alone, bodies never leave the server."""

from uuid import UUID

from redis import Redis

from app.inbox.client import translate_errors

# A call ends at either bound, so that nobody waits long behind it; entries are read singly, since bodies may be large.
# Replies: an entry's id, its receipt, and so on.
_RECEIPTS = """
local found, start, size = {}, ARGV[1], 0
while #found < 2000 and size < 8388608 do
    local entry = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', 1)[1]
    if not entry then break end
    local receipt = ''
    for at = 1, #entry[2], 2 do
        size = size + #entry[2][at + 1]
        if entry[2][at] == 'receipt' then receipt = entry[2][at + 1] end
    end
    found[#found + 1] = entry[1]
    found[#found + 1] = receipt
    start = '(' .. entry[1]
end
return found
"""


def receipts(redis: Redis, provider: str) -> set[UUID]:
    """Return the receipts of all entries that wait; of what is appended meanwhile some or none."""
    found: set[UUID] = set()
    start = "-"
    while True:
        with translate_errors():
            portion = redis.eval_ro(_RECEIPTS, 1, f"inbox:{provider}", start)
        if not portion:
            return found
        found |= {UUID(bytes=receipt) for receipt in portion[1::2] if len(receipt) == 16}
        start = f"({portion[-2].decode()}"
