-- Forgets clients that were not renewed in time and answers the others, identifiers and information in turn.
local expire, data = KEYS[1], KEYS[2]
local now = ARGV[1]

for _, client in ipairs(redis.call('ZRANGEBYSCORE', expire, 0, now)) do
    redis.call('HDEL', data, client)
end
redis.call('ZREMRANGEBYSCORE', expire, 0, now)
return redis.call('HGETALL', data)
