"""Lua scripts that the Redis server runs for an inbox, each in one atomic step.

A script blocks the server, so each ends at a bound on entries or bytes.
"""

# Appends a group, in the epoch that the reply names. An epoch ends if the server turns out to hold an older state: it
# lacks the epoch, or what this writer had confirmed in it. Each writer is checked against its own field, because the
# appends of others may have made up for the total. Fields of writers that ended are dropped with the epoch, after 100.
# Times never go back, and stay ahead of the server's own clock where that is behind.
# Keys: stream, pending wake-up, state. Arguments: writer, newest epoch that it knows or nothing, number of entries
# appended in that epoch at its last confirmed append, epoch to open if one must be, time of receipt in ms, maximum
# length of the stream or nothing, seconds until a pending wake-up expires, values per entry, all fields.
# Reply: epoch, number of entries appended in it, 1 if a wake-up is to be published, stream ids.
APPEND = """
local writer, known_epoch, confirmed, ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5])
local max_entries, wakeup_seconds, width = ARGV[6], ARGV[7], tonumber(ARGV[8])
local epoch, count, last_id, own = unpack(redis.call('HMGET', KEYS[3], 'epoch', 'appended', 'last_id', writer))
local last_ms = last_id and tonumber(string.match(last_id, '^%d+')) or 0
local is_set_back = not epoch or epoch < known_epoch or epoch == known_epoch and tonumber(own or 0) < confirmed
local ends = is_set_back or not own and redis.call('HLEN', KEYS[3]) > 100
if ends then epoch, count = ARGV[4], 0 end

if ms < last_ms then ms = last_ms + 1 end
local id = string.format('%.0f-*', ms)
local function add(run, start)
    return run('XADD', KEYS[1], id, 'epoch', epoch, unpack(ARGV, start, start + width - 1))
end
local first = add(redis.pcall, 9)
if first.err then -- somebody else moved the last id of the stream ahead: move it back, not before the last entry
    redis.pcall('XSETID', KEYS[1], ms > last_ms and string.format('%.0f-0', ms) or last_id)
    first = add(redis.pcall, 9)
end
if first.err then -- that would put it before an entry: follow it
    id = '*'
    first = add(redis.call, 9)
    if tonumber(string.match(first, '^%d+')) > 253402300799999 then -- the year 9999: no worker could read the time
        redis.call('XDEL', KEYS[1], first)
        return redis.error_reply('FARAHEAD the last id of the stream is too far in the future')
    end
end
local ids = {first}
for start = 9 + width, #ARGV, width do ids[#ids + 1] = add(redis.call, start) end

if max_entries ~= '' then redis.call('XTRIM', KEYS[1], 'MAXLEN', max_entries) end
local marked = redis.call('SET', KEYS[2], 1, 'NX', 'EX', wakeup_seconds)
count = tonumber(count or 0) + #ids
if ends then redis.call('DEL', KEYS[3]) end
redis.call('HSET', KEYS[3], 'epoch', epoch, 'appended', count, 'last_id', ids[#ids], writer, count)
return {epoch, count, marked and 1 or 0, ids}
"""

# Opens another epoch unless that happened already. Keys: state. Arguments: epoch to end, epoch to open.
# Times of receipt go on from the last one. Reply: 1 if the epoch was ended.
END_EPOCH = """
local epoch, last_id = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'last_id'))
if epoch ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'appended', 0, 'last_id', last_id or '0-0')
return 1
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

# Deletes entries that the ledger holds. No transaction: Redis 7.0 refuses most commands in one while it is full.
# Arguments: group, stream ids.
ACKNOWLEDGE = """
redis.call('XACK', KEYS[1], unpack(ARGV))
redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
"""

# Removes consumers without claims that have not read for long. One step, since removing a consumer drops its claims.
# Arguments: group, milliseconds. Reply: how many were removed.
REMOVE_IDLE = """
local removed = 0
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local consumer = {}
    for at = 1, #fields, 2 do consumer[fields[at]] = fields[at + 1] end
    if consumer.pending == 0 and consumer.idle >= tonumber(ARGV[2]) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
        removed = removed + 1
    end
end
return removed
"""

# Delivers entries again that the group has passed although no consumer has claimed them: another client acknowledged
# them, or moved the group ahead. It waits until nothing is new, so that what remains is claimed or skipped.
# Arguments: group. Reply: how many entries were skipped.
RECOVER_SKIPPED = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local group = {}
    for at = 1, #fields, 2 do group[fields[at]] = fields[at + 1] end
    if group.name == ARGV[1] then
        local skipped = redis.call('XLEN', KEYS[1]) - group.pending
        local new = redis.call('XRANGE', KEYS[1], '(' .. group['last-delivered-id'], '+', 'COUNT', 1)
        if skipped <= 0 or #new > 0 then return 0 end
        redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], '0')
        return skipped
    end
end
return 0
"""

# Ids, epochs and receipts alone: bodies stay on the server. Like READ it may exceed its bound by nine large bodies.
# Arguments: first stream id. Reply: a stream id, its epoch and its receipt or nothing, and so on; 1 if there are more.
RECEIPTS = """
local found, start, size = {}, ARGV[1], 0
while #found < 6000 and size < 8388608 do
    local entries = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', 10)
    for _, entry in ipairs(entries) do
        local own = {epoch = '', receipt = ''}
        for at = 1, #entry[2], 2 do
            size = size + #entry[2][at + 1]
            if own[entry[2][at]] then own[entry[2][at]] = entry[2][at + 1] end
        end
        found[#found + 1] = entry[1]
        found[#found + 1] = own.epoch
        found[#found + 1] = own.receipt
    end
    if #entries < 10 then return {found, 0} end
    start = '(' .. entries[#entries][1]
end
return {found, 1}
"""
