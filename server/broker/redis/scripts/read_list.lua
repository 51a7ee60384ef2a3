-- As read_stream.lua, for history in lists: all publications or none, newest first.
local list, meta = KEYS[1], KEYS[2]
local wanted, meta_ttl, fresh_epoch = ARGV[1], ARGV[2], ARGV[3]

local state = redis.call('HMGET', meta, 'e', 's')
local epoch, offset = state[1], state[2] or '0'
if not epoch then
    epoch, offset = fresh_epoch, '0'
    redis.call('HSET', meta, 'e', epoch)
end
if meta_ttl ~= '0' then
    redis.call('EXPIRE', meta, meta_ttl)
end
if wanted == '0' or offset == '0' then
    return {offset, epoch, {}}
end
return {offset, epoch, redis.call('LRANGE', list, 0, -1)}
