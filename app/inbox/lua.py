"""What the inbox has its server do in one step: scripts in Lua."""

# In one step, so that the epoch is the entries'. An emptied server gets its epoch here, unless it has one already.
APPEND = """
local fresh, kept, doorbell_seconds, width = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local ids = {}
for start = 5, #ARGV, width do
    ids[#ids + 1] = redis.call('XADD', KEYS[1], '*', unpack(ARGV, start, start + width - 1))
end
if kept ~= '' then redis.call('XTRIM', KEYS[1], 'MAXLEN', kept) end
local pressed = redis.call('SET', KEYS[2], 1, 'NX', 'EX', doorbell_seconds)
local epoch = redis.call('SET', KEYS[3], fresh, 'NX', 'GET') or fresh
return {epoch, redis.call('INCRBY', KEYS[4], #ids), pressed and 1 or 0, ids}
"""

# Claims up to so many entries at once, a round trip and an fsync for all of them. It looks at the size after every ten,
# and so overshoots by nine large bodies at most: they must not fill the memory, nor hold up others behind the call.
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

# Ids alone: bodies never leave the server. A call ends at either bound, so that nobody waits long behind it.
POSITIONS = """
local ids, start, size = {}, ARGV[1], 0
while #ids < 1000 and size < 8388608 do
    local entries = redis.call('XRANGE', KEYS[1], start, ARGV[2], 'COUNT', 10)
    for _, entry in ipairs(entries) do
        ids[#ids + 1] = entry[1]
        for _, field in ipairs(entry[2]) do size = size + #field end
    end
    if #entries < 10 then break end
    start = '(' .. ids[#ids]
end
return ids
"""
