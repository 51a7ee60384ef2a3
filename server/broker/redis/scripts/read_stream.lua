-- Answers offset and epoch of a stream and, when asked for, its publications. Gives a stream without epoch one.
local stream, meta = KEYS[1], KEYS[2]
local wanted, from, limit, reverse, meta_ttl, fresh_epoch = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local state = redis.call('HMGET', meta, 'e', 's')
local epoch, offset = state[1], state[2] or '0'
if not epoch then
    epoch, offset = fresh_epoch, '0'
    redis.call('HSET', meta, 'e', epoch)
end
if meta_ttl ~= '0' then
    redis.call('EXPIRE', meta, meta_ttl)
end
-- Without offset there is no publication of this life; what lies there was left over.
if wanted == '0' or offset == '0' then
    return {offset, epoch, {}}
end

local read = {'XRANGE', stream, from, '+'}
if reverse == '1' then
    read = {'XREVRANGE', stream, from, '-'}
end
if limit ~= '' then
    read[5], read[6] = 'COUNT', limit
end
return {offset, epoch, redis.call(unpack(read))}
