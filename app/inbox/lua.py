"""Lua scripts that the Redis server runs for an inbox, each in one atomic step.

A script blocks the server, so each ends at a bound on entries or bytes.
"""

# Atomic, so that the epoch in the reply is the entries' epoch. The first append to an emptied server creates its epoch.
# Keys: stream, pending wake-up, epoch, append count. Arguments: new epoch, maximum length of the stream or nothing,
# seconds until a pending wake-up expires, values per entry, all fields.
# Reply: epoch, append count, 1 if a wake-up is to be published, stream ids.
APPEND = """
local new_epoch, max_entries, wakeup_seconds, width = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local ids = {}
for start = 5, #ARGV, width do
    ids[#ids + 1] = redis.call('XADD', KEYS[1], '*', unpack(ARGV, start, start + width - 1))
end
if max_entries ~= '' then redis.call('XTRIM', KEYS[1], 'MAXLEN', max_entries) end
local marked = redis.call('SET', KEYS[2], 1, 'NX', 'EX', wakeup_seconds)
local epoch = redis.call('SET', KEYS[3], new_epoch, 'NX', 'GET') or new_epoch
return {epoch, redis.call('INCRBY', KEYS[4], #ids), marked and 1 or 0, ids}
"""

# Claims many entries with one round trip and one fsync. It checks the size after every ten entries, so that it exceeds
# the bound by nine large bodies at most. Arguments: group, consumer, start. Reply: entries, 1 if there may be more.
READ = """
local found, size, start = {}, 0, ARGV[3]
while #found < 250 and size < 1048576 do
    local reply = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', 10, 'STREAMS', KEYS[1], start)
    local entries = reply and reply[1][2] or {}
    for _, entry in ipairs(entries) do
        found[#found + 1] = entry
        for _, field in ipairs(entry[2] or {}) do size = size + #field end
    end
    if #entries < 10 then return {found, 0} end
    if start ~= '>' then start = entries[#entries][1] end
end
return {found, 1}
"""

# Ids and receipts alone: bodies stay on the server. Like READ it may exceed its bound by nine large bodies.
# Arguments: first and last stream id. Reply: a stream id, its receipt or nothing, and so on.
RECEIPTS = """
local found, start, size = {}, ARGV[1], 0
while #found < 2000 and size < 8388608 do
    local entries = redis.call('XRANGE', KEYS[1], start, ARGV[2], 'COUNT', 10)
    for _, entry in ipairs(entries) do
        local receipt = ''
        for at = 1, #entry[2], 2 do
            size = size + #entry[2][at + 1]
            if entry[2][at] == 'receipt' then receipt = entry[2][at + 1] end
        end
        found[#found + 1] = entry[1]
        found[#found + 1] = receipt
    end
    if #entries < 10 then break end
    start = '(' .. entries[#entries][1]
end
return found
"""
