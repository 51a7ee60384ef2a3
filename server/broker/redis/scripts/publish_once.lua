-- Tells subscribers of a publication without history, unless its idempotency key is known. Answers whether it was.
local result = KEYS[1]
local body, channel, publish, result_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if redis.call('HEXISTS', result, 'e') == 1 then
    return 1
end
if channel ~= '' then
    redis.call(publish, channel, body)
end
redis.call('HSET', result, 'e', '')
redis.call('EXPIRE', result, result_ttl)
return 0
