-- Forgets clients and users that were not renewed in time and counts the others.
local now = ARGV[1]

local function forget(expire, hash)
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', expire, 0, now)) do
        redis.call('HDEL', hash, member)
    end
    redis.call('ZREMRANGEBYSCORE', expire, 0, now)
end

if ARGV[2] == '0' then
    forget(KEYS[1], KEYS[2])
    forget(KEYS[3], KEYS[4])
end
return {redis.call('HLEN', KEYS[2]), redis.call('HLEN', KEYS[4])}
